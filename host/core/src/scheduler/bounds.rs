//! The scheduler's bounds.

/// Bounds of the scheduler's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerBounds {
    /// Loaded heads per connection. One page more may be loaded, and as many again may wait for
    /// other jobs of their objects.
    pub window: usize,
    /// Jobs read from the store at once.
    pub page: usize,
    /// A lane with fewer loaded heads than this, or than two full calls need, is refilled.
    pub low_water: usize,
    /// Every n-th pick of a connection ignores priority, so that the lowest still moves.
    pub ignore_priority_every: u64,
}

impl Default for SchedulerBounds {
    fn default() -> Self {
        Self {
            window: 4096,
            page: 512,
            low_water: 256,
            ignore_priority_every: 10,
        }
    }
}
