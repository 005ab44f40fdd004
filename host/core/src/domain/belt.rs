//! Belts: the stages of a channel's plan, and when a belt opens.

use serde::{Deserialize, Serialize};

/// How later belts continue when an earlier one contains failed, rejected, unknown or set-aside
/// jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeltOnFailure {
    #[default]
    Continue,
    Hold,
    /// The remaining jobs end as cancelled.
    Abort,
}

/// The progress of one belt of one execution on one connection. The store updates it in the
/// transaction of each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BeltProgress {
    /// The belt's number, from 1.
    pub belt: u32,
    pub total: u64,
    /// Jobs of each state, by [`JobState::code`](super::state::JobState::code).
    pub states: [u64; 9],
    /// Waiting jobs that are set aside: they do not hold the belts behind.
    pub set_aside: u64,
    /// Bit `10 - priority` is set for each priority that a job of the belt has.
    pub priorities: u32,
    /// The belt was open before; an open belt stays open.
    pub opened: bool,
    /// Raised by each change of the counters: of two readings the higher one is newer.
    pub version: u64,
}

/// Whether a belt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeltGate {
    Open,
    /// An earlier belt is unfinished.
    Closed,
    /// Earlier belts are through but not clean, and a person decides.
    Held,
    /// Earlier belts are through but not clean, and the rest is to be cancelled.
    Aborted,
}

impl BeltProgress {
    pub fn finished(&self) -> u64 {
        self.states[3..].iter().sum()
    }

    /// Every job is terminal or set aside.
    pub fn is_through(&self) -> bool {
        self.finished() + self.set_aside >= self.total
    }

    /// Through, and no job was rejected, failed, unknown or set aside.
    pub fn is_clean(&self) -> bool {
        self.set_aside == 0 && self.states[4] + self.states[5] + self.states[6] == 0
    }

    /// The priorities of the belt's jobs, highest first.
    pub fn priorities(&self) -> impl Iterator<Item = i8> + use<> {
        let bits = self.priorities;
        (0..=20i8)
            .filter(move |bit| bits & (1 << bit) != 0)
            .map(|bit| 10 - bit)
    }
}

/// The bit of a priority (−10 … 10) in [`BeltProgress::priorities`].
pub fn priority_bit(priority: i8) -> u32 {
    1 << (10 - i32::from(priority.clamp(-10, 10)))
}

/// Whether the belt at `index` may go, given all belts of the execution on this connection in
/// ascending order.
pub fn gate(belts: &[BeltProgress], index: usize, on_failure: BeltOnFailure) -> BeltGate {
    let Some(belt) = belts.get(index) else {
        return BeltGate::Closed;
    };
    if belt.opened {
        return BeltGate::Open;
    }
    let earlier = &belts[..index];
    if !earlier.iter().all(BeltProgress::is_through) {
        return BeltGate::Closed;
    }
    if earlier.iter().all(BeltProgress::is_clean) {
        return BeltGate::Open;
    }
    match on_failure {
        BeltOnFailure::Continue => BeltGate::Open,
        // A person who released a belt has also decided about the belts before it.
        BeltOnFailure::Hold
            if earlier[decided(earlier)..]
                .iter()
                .all(BeltProgress::is_clean) =>
        {
            BeltGate::Open
        }
        BeltOnFailure::Hold => BeltGate::Held,
        BeltOnFailure::Abort => BeltGate::Aborted,
    }
}

/// The last of the belts that is open, or the first.
fn decided(belts: &[BeltProgress]) -> usize {
    belts.iter().rposition(|belt| belt.opened).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn belt(belt: u32, states: [u64; 9], set_aside: u64) -> BeltProgress {
        BeltProgress {
            belt,
            total: states.iter().sum(),
            states,
            set_aside,
            ..BeltProgress::default()
        }
    }

    #[test]
    fn second_belt_opens_when_the_first_is_through() {
        let waiting = belt(1, [1, 0, 0, 9, 0, 0, 0, 0, 0], 0);
        let aside = belt(1, [1, 0, 0, 9, 0, 0, 0, 0, 0], 1);
        let accepted = belt(1, [0, 0, 1, 9, 0, 0, 0, 0, 0], 0);
        let second = belt(2, [5, 0, 0, 0, 0, 0, 0, 0, 0], 0);
        assert_eq!(
            gate(&[waiting, second], 1, BeltOnFailure::Continue),
            BeltGate::Closed
        );
        assert_eq!(
            gate(&[accepted, second], 1, BeltOnFailure::Continue),
            BeltGate::Closed
        );
        assert_eq!(
            gate(&[aside, second], 1, BeltOnFailure::Continue),
            BeltGate::Open
        );
        assert_eq!(
            gate(&[aside, second], 1, BeltOnFailure::Hold),
            BeltGate::Held
        );
        let rejected = belt(1, [0, 0, 0, 9, 1, 0, 0, 0, 0], 0);
        assert_eq!(
            gate(&[rejected, second], 1, BeltOnFailure::Abort),
            BeltGate::Aborted
        );
        let opened = BeltProgress {
            opened: true,
            ..second
        };
        assert_eq!(
            gate(&[waiting, opened], 1, BeltOnFailure::Abort),
            BeltGate::Open
        );
    }

    #[test]
    fn released_belt_settles_the_belts_before_it() {
        let bad = BeltProgress {
            opened: true,
            ..belt(1, [0, 0, 0, 9, 1, 0, 0, 0, 0], 0)
        };
        let held = belt(2, [0, 0, 0, 5, 0, 0, 0, 0, 0], 0);
        let last = belt(3, [5, 0, 0, 0, 0, 0, 0, 0, 0], 0);
        assert_eq!(
            gate(&[bad, held, last], 1, BeltOnFailure::Hold),
            BeltGate::Held
        );
        assert_eq!(
            gate(&[bad, held, last], 2, BeltOnFailure::Hold),
            BeltGate::Held
        );
        let released = BeltProgress {
            opened: true,
            ..held
        };
        assert_eq!(
            gate(&[bad, released, last], 2, BeltOnFailure::Hold),
            BeltGate::Open
        );
        let bad_too = BeltProgress {
            opened: true,
            ..belt(2, [0, 0, 0, 4, 0, 1, 0, 0, 0], 0)
        };
        assert_eq!(
            gate(&[bad, bad_too, last], 2, BeltOnFailure::Hold),
            BeltGate::Held
        );
        assert_eq!(
            gate(&[bad, released, last], 2, BeltOnFailure::Abort),
            BeltGate::Aborted
        );
    }

    #[test]
    fn priorities_come_highest_first() {
        let belt = BeltProgress {
            priorities: priority_bit(0) | priority_bit(10) | priority_bit(-10),
            ..BeltProgress::default()
        };
        assert_eq!(belt.priorities().collect::<Vec<_>>(), [10, 0, -10]);
    }
}
