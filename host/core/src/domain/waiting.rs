//! Why a job waits.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The reason why a job is not being sent now.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum WaitingKind {
    /// It is not due yet.
    Schedule = 1,
    /// An earlier job of its partition key or object is unfinished.
    Partition = 2,
    /// An earlier belt of its execution is unfinished.
    Belt = 3,
    /// An earlier belt had failures and a person decides.
    BeltHold = 4,
    /// An object that it refers to does not exist yet.
    Dependency = 5,
    /// The source is down, slow or at its own limit.
    Source = 6,
    /// A limit of the destination has no room.
    Limit = 7,
    /// Others go first, or no slot is free.
    Turn = 8,
    /// The execution, channel or connection is paused.
    Paused = 9,
    /// The connection's credential or settings are refused.
    Parked = 10,
    /// The destination does not answer; it is probed.
    Circuit = 11,
    /// An attempt failed; the next one is due later.
    Retry = 12,
    /// Its partition key is blocked until a person decides.
    Blocked = 13,
    /// Another job is sent in its place.
    Merged = 14,
}

impl WaitingKind {
    /// All kinds, in the order of their codes, which start at 1.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The number that stands for the kind in the store.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The kind of a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code - 1).ok()?).copied()
    }

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// A job that waits for this does not hold the later belts of its execution.
    pub const fn is_set_aside(self) -> bool {
        matches!(self, Self::Dependency | Self::Blocked | Self::BeltHold)
    }

    /// Whether the store keeps the reason with the job. The other kinds follow from the scheduler's
    /// current state.
    pub const fn is_stored(self) -> bool {
        matches!(
            self,
            Self::Schedule
                | Self::Dependency
                | Self::Source
                | Self::Retry
                | Self::Blocked
                | Self::Merged
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for &kind in WaitingKind::ALL {
            assert_eq!(WaitingKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(WaitingKind::from_code(0), None);
    }
}
