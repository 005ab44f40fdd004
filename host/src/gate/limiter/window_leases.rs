//! The units of one window that are leased in the store and not used yet.
//!
//! A window's uses must survive a restart, and a write per request would be too slow. So units are
//! leased in slices before they are used; after a restart an open slice counts as used at that
//! moment. What a restart can forfeit is at most two slices: 8 % of the window, or two units of a
//! small one, or the cost of one request if that is more.

use std::collections::VecDeque;

/// WindowLeases that a window is divided into.
const SLICES_PER_WINDOW: u32 = 25;
/// WindowLeases closed between two removals of old ones.
const CLOSED_PER_REMOVAL: u32 = 25;

/// The leases of one window.
#[derive(Debug)]
pub struct WindowLeases {
    window_ms: u64,
    size: u32,
    next: i64,
    open: VecDeque<(i64, u32)>,
    leasing: bool,
    closed: u32,
    /// Why the last lease failed.
    error: Option<String>,
}

/// A slice that is used up, for the store to note.
#[derive(Debug, PartialEq, Eq)]
pub struct UsedUp {
    pub slice: i64,
    /// Remove what was closed longer ago than this, in milliseconds.
    pub remove_before_ms: Option<u64>,
}

impl WindowLeases {
    /// No lease yet; `next` is the first number that the store does not know.
    pub fn new(max: u32, window_ms: u64, next: i64) -> Self {
        Self {
            window_ms,
            size: (max / SLICES_PER_WINDOW).max(1),
            next,
            open: VecDeque::new(),
            leasing: false,
            closed: 0,
            error: None,
        }
    }

    /// The window changed; what is leased stays leased.
    pub fn resize(&mut self, max: u32, window_ms: u64) {
        self.size = (max / SLICES_PER_WINDOW).max(1);
        self.window_ms = self.window_ms.max(window_ms);
    }

    /// So many units can be used.
    pub fn has(&self, units: u32) -> bool {
        self.left() >= u64::from(units)
    }

    /// The slice to lease now, if less than a whole one or than `units` is at hand and none is
    /// being leased.
    pub fn begin_lease(&mut self, units: u32) -> Option<(i64, u32)> {
        let left = self.left();
        if self.leasing || left >= u64::from(self.size.max(units)) {
            return None;
        }
        self.leasing = true;
        let slice = self.next;
        self.next += 1;
        // A request may take more than a slice.
        let missing = u32::try_from(u64::from(units).saturating_sub(left)).unwrap_or(u32::MAX);
        Some((slice, self.size.max(missing)))
    }

    fn left(&self) -> u64 {
        self.open.iter().map(|(_, left)| u64::from(*left)).sum()
    }

    /// The store's answer to a lease.
    pub fn leased(&mut self, slice: i64, units: u32, result: Result<(), String>) {
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
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Uses so many units, and tells which slices that uses up. Only called when there are so many.
    pub fn take(&mut self, units: u32) -> Vec<UsedUp> {
        let (mut used_up, mut missing) = (Vec::new(), units);
        while let Some((slice, left)) = self.open.front_mut() {
            let taken = missing.min(*left);
            (*left, missing) = (*left - taken, missing - taken);
            if *left > 0 {
                break;
            }
            let slice = *slice;
            self.open.pop_front();
            self.closed += 1;
            let remove = self.closed.is_multiple_of(CLOSED_PER_REMOVAL);
            // A day more than the window, in case the wall clock is set back and forth.
            used_up.push(UsedUp {
                slice,
                remove_before_ms: remove.then(|| self.window_ms + 24 * 60 * 60 * 1000),
            });
            if missing == 0 {
                break;
            }
        }
        used_up
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn at_most_two_slices_are_open_and_the_next_is_asked_for_before_the_last_unit() {
        let mut slices = WindowLeases::new(250, 15_000, 7);
        assert!(!slices.has(1));
        assert_eq!(slices.begin_lease(1), Some((7, 10)));
        assert_eq!(slices.begin_lease(1), None);
        slices.leased(7, 10, Ok(()));
        assert_eq!(slices.begin_lease(1), None);
        assert_eq!(slices.take(1), []);
        assert_eq!(slices.begin_lease(1), Some((8, 10)));
        slices.leased(8, 10, Ok(()));
        for _ in 0..8 {
            assert_eq!(slices.take(1), []);
        }
        assert_eq!(slices.begin_lease(1), None);
        assert_eq!(
            slices.take(1),
            [UsedUp {
                slice: 7,
                remove_before_ms: None
            }]
        );
        assert!(slices.has(10));
    }

    #[test]
    fn a_request_takes_what_it_costs_across_slices() {
        let mut slices = WindowLeases::new(250, 15_000, 1);
        slices.begin_lease(1);
        slices.leased(1, 10, Ok(()));
        assert!(!slices.has(35));
        assert_eq!(
            slices.begin_lease(35),
            Some((2, 25)),
            "what is missing at once"
        );
        slices.leased(2, 25, Ok(()));
        slices.begin_lease(36);
        slices.leased(3, 10, Ok(()));
        let numbers =
            |used_up: Vec<UsedUp>| used_up.iter().map(|used| used.slice).collect::<Vec<_>>();
        assert_eq!(numbers(slices.take(35)), [1, 2]);
        assert_eq!(slices.take(4), []);
        assert!(slices.has(6) && !slices.has(7));
    }

    #[test]
    fn a_failed_lease_is_tried_again_under_a_new_number() {
        let mut slices = WindowLeases::new(10, 1000, 1);
        assert_eq!(slices.begin_lease(1), Some((1, 1)));
        slices.leased(1, 1, Err("busy".to_owned()));
        assert_eq!(slices.error(), Some("busy"));
        assert_eq!(slices.begin_lease(1), Some((2, 1)));
        slices.leased(2, 1, Ok(()));
        assert_eq!((slices.error(), slices.has(1)), (None, true));
    }

    #[test]
    fn old_slices_are_removed_now_and_then() {
        let mut slices = WindowLeases::new(1, 1000, 1);
        let removals = (0..50).filter(|_| {
            let (slice, units) = slices.begin_lease(1).unwrap();
            slices.leased(slice, units, Ok(()));
            slices
                .take(1)
                .iter()
                .any(|used_up| used_up.remove_before_ms.is_some_and(|before| before > 1000))
        });
        assert_eq!(removals.count(), 2);
    }
}
