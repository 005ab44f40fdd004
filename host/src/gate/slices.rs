//! The units of one window that are leased in the store and not used yet.
//!
//! A window's uses must survive a restart, and a write per request would be too slow. So units are leased in slices
//! before they are used; after a restart an open slice counts as used at that moment. What a restart can forfeit is
//! at most two slices, 8 % of the window.

use std::collections::VecDeque;

/// Slices that a window is divided into.
const SLICES_PER_WINDOW: u32 = 25;
/// Slices closed between two removals of old ones.
const CLOSED_PER_REMOVAL: u32 = 25;

/// The leases of one window.
#[derive(Debug)]
pub(super) struct Slices {
    window_ms: u64,
    size: u32,
    next: i64,
    open: VecDeque<(i64, u32)>,
    leasing: bool,
    closed: u32,
    /// Why the last lease failed.
    error: Option<String>,
}

/// What a used unit asks of the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// Nothing.
    InSlice,
    /// This slice is used up.
    Closed {
        /// Its number.
        slice: i64,
        /// Remove what was closed longer ago than this, in milliseconds.
        remove_before_ms: Option<u64>,
    },
}

impl Slices {
    /// No lease yet; `next` is the first number that the store does not know.
    pub(super) fn new(max: u32, window_ms: u64, next: i64) -> Self {
        Self { window_ms, size: (max / SLICES_PER_WINDOW).max(1), next, open: VecDeque::new(), leasing: false, closed: 0, error: None }
    }

    /// The window changed; what is leased stays leased.
    pub(super) fn resize(&mut self, max: u32, window_ms: u64) {
        self.size = (max / SLICES_PER_WINDOW).max(1);
        self.window_ms = self.window_ms.max(window_ms);
    }

    /// A unit can be used.
    pub(super) fn has_unit(&self) -> bool {
        !self.open.is_empty()
    }

    /// The slice to lease now, if less than a whole one is at hand and none is being leased.
    pub(super) fn begin_lease(&mut self) -> Option<(i64, u32)> {
        let left: u32 = self.open.iter().map(|(_, left)| left).sum();
        if self.leasing || left >= self.size {
            return None;
        }
        self.leasing = true;
        let slice = self.next;
        self.next += 1;
        Some((slice, self.size))
    }

    /// The store's answer to a lease.
    pub(super) fn leased(&mut self, slice: i64, units: u32, result: Result<(), String>) {
        self.leasing = false;
        match result {
            Ok(()) => {
                self.error = None;
                self.open.push_back((slice, units));
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Why the last lease failed.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Uses a unit. Only called when there is one.
    pub(super) fn take(&mut self) -> Used {
        let Some((slice, left)) = self.open.front_mut() else { return Used::InSlice };
        *left -= 1;
        if *left > 0 {
            return Used::InSlice;
        }
        let slice = *slice;
        self.open.pop_front();
        self.closed += 1;
        let remove = self.closed.is_multiple_of(CLOSED_PER_REMOVAL);
        // A day more than the window, in case the wall clock is set back and forth.
        Used::Closed { slice, remove_before_ms: remove.then(|| self.window_ms + 24 * 60 * 60 * 1000) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn at_most_two_slices_are_open_and_the_next_is_asked_for_before_the_last_unit() {
        let mut slices = Slices::new(250, 15_000, 7);
        assert!(!slices.has_unit());
        assert_eq!(slices.begin_lease(), Some((7, 10)));
        assert_eq!(slices.begin_lease(), None);
        slices.leased(7, 10, Ok(()));
        assert_eq!(slices.begin_lease(), None);
        assert_eq!(slices.take(), Used::InSlice);
        assert_eq!(slices.begin_lease(), Some((8, 10)));
        slices.leased(8, 10, Ok(()));
        for _ in 0..8 {
            assert_eq!(slices.take(), Used::InSlice);
        }
        assert_eq!(slices.begin_lease(), None);
        assert_eq!(slices.take(), Used::Closed { slice: 7, remove_before_ms: None });
        assert!(slices.has_unit());
    }

    #[test]
    fn a_failed_lease_is_tried_again_under_a_new_number() {
        let mut slices = Slices::new(10, 1000, 1);
        assert_eq!(slices.begin_lease(), Some((1, 1)));
        slices.leased(1, 1, Err("busy".to_owned()));
        assert_eq!(slices.error(), Some("busy"));
        assert_eq!(slices.begin_lease(), Some((2, 1)));
        slices.leased(2, 1, Ok(()));
        assert_eq!((slices.error(), slices.has_unit()), (None, true));
    }

    #[test]
    fn old_slices_are_removed_now_and_then() {
        let mut slices = Slices::new(1, 1000, 1);
        let removals = (0..50).filter(|_| {
            let (slice, units) = slices.begin_lease().unwrap();
            slices.leased(slice, units, Ok(()));
            matches!(slices.take(), Used::Closed { remove_before_ms: Some(before), .. } if before > 1000)
        });
        assert_eq!(removals.count(), 2);
    }
}
