//! The units of one window that are leased in the store and not used yet.
//!
//! A window's uses must survive a restart, but a write per request would be too slow. So units are
//! leased in slices before use, and after a restart an open slice counts as used at that moment. A
//! restart forfeits at most two slices: 8 % of the window, or two units of a small one, or the cost
//! of one request if that is more.

use std::collections::VecDeque;

/// A slice is this fraction of a window.
const SLICES_PER_WINDOW: u32 = 25;
/// Slices closed between two removals of old ones.
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
    /// Remove slices that were closed longer ago than this, in milliseconds.
    pub remove_before_ms: Option<u64>,
}

impl WindowLeases {
    /// No leases; `next` is the first free slice number.
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

    /// Changes the window's size. Existing leases stay.
    pub fn resize(&mut self, max: u32, window_ms: u64) {
        self.size = (max / SLICES_PER_WINDOW).max(1);
        self.window_ms = self.window_ms.max(window_ms);
    }

    /// Whether this many units can be used.
    pub fn has(&self, units: u32) -> bool {
        self.left() >= u64::from(units)
    }

    /// The slice to lease now, as (number, units): if less than a slice or `units` is left, and no
    /// lease is in progress.
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

    /// Uses units, which must be leased, and returns the slices that this uses up.
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
            // A day longer than the window, in case the wall clock is adjusted.
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
    fn next_slice_is_leased_before_the_last_unit_and_at_most_two_are_open() {
        let mut leases = WindowLeases::new(250, 15_000, 7);
        assert!(!leases.has(1));
        assert_eq!(leases.begin_lease(1), Some((7, 10)));
        assert_eq!(leases.begin_lease(1), None);
        leases.leased(7, 10, Ok(()));
        assert_eq!(leases.begin_lease(1), None);
        assert_eq!(leases.take(1), []);
        assert_eq!(leases.begin_lease(1), Some((8, 10)));
        leases.leased(8, 10, Ok(()));
        for _ in 0..8 {
            assert_eq!(leases.take(1), []);
        }
        assert_eq!(leases.begin_lease(1), None);
        assert_eq!(
            leases.take(1),
            [UsedUp {
                slice: 7,
                remove_before_ms: None
            }]
        );
        assert!(leases.has(10));
    }

    #[test]
    fn take_spans_slices() {
        let mut leases = WindowLeases::new(250, 15_000, 1);
        leases.begin_lease(1);
        leases.leased(1, 10, Ok(()));
        assert!(!leases.has(35));
        assert_eq!(
            leases.begin_lease(35),
            Some((2, 25)),
            "the missing units in one lease"
        );
        leases.leased(2, 25, Ok(()));
        leases.begin_lease(36);
        leases.leased(3, 10, Ok(()));
        let numbers =
            |used_up: Vec<UsedUp>| used_up.iter().map(|used| used.slice).collect::<Vec<_>>();
        assert_eq!(numbers(leases.take(35)), [1, 2]);
        assert_eq!(leases.take(4), []);
        assert!(leases.has(6) && !leases.has(7));
    }

    #[test]
    fn failed_lease_is_retried_with_a_new_number() {
        let mut leases = WindowLeases::new(10, 1000, 1);
        assert_eq!(leases.begin_lease(1), Some((1, 1)));
        leases.leased(1, 1, Err("busy".to_owned()));
        assert_eq!(leases.error(), Some("busy"));
        assert_eq!(leases.begin_lease(1), Some((2, 1)));
        leases.leased(2, 1, Ok(()));
        assert_eq!((leases.error(), leases.has(1)), (None, true));
    }

    #[test]
    fn old_slices_are_removed_periodically() {
        let mut leases = WindowLeases::new(1, 1000, 1);
        let removals = (0..50).filter(|_| {
            let (slice, units) = leases.begin_lease(1).unwrap();
            leases.leased(slice, units, Ok(()));
            leases
                .take(1)
                .iter()
                .any(|used_up| used_up.remove_before_ms.is_some_and(|before| before > 1000))
        });
        assert_eq!(removals.count(), 2);
    }
}
