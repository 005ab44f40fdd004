//! The states of a job and which follow which.

use serde::{Deserialize, Serialize};

/// Where a job stands. The numbers are those of the store; everything up to `Accepted` is
/// unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Not being sent now; the waiting reason says why.
    Waiting = 0,
    InFlight = 1,
    /// The destination took it and decides later.
    Accepted = 2,
    /// It is there, changed or the same already.
    Succeeded = 3,
    /// Bad data: the destination, or the host on the way there, will never take it as it is.
    Rejected = 4,
    /// It could not be delivered; the code says why.
    Failed = 5,
    /// It may or may not have arrived; a person decides.
    Unknown = 6,
    /// A newer job of the object was sent in its place.
    Superseded = 7,
    /// Taken back before it was sent.
    Cancelled = 8,
}

impl JobState {
    /// All states, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::InFlight,
        Self::Accepted,
        Self::Succeeded,
        Self::Rejected,
        Self::Failed,
        Self::Unknown,
        Self::Superseded,
        Self::Cancelled,
    ];

    /// The number that stands for the state in the store.
    #[must_use]
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The state of a stored number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code)
            .ok()
            .and_then(|i| Self::ALL.get(i).copied())
    }

    /// The word used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "in_flight",
            Self::Accepted => "accepted",
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state named by a word of the API.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Waiting | Self::InFlight | Self::Accepted)
    }

    /// Whether `next` may follow. A job comes back to `waiting` from `in_flight` as often as its
    /// retry rule allows.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Waiting => !matches!(next, Self::Accepted | Self::Succeeded),
            Self::InFlight => !matches!(next, Self::Cancelled | Self::InFlight),
            Self::Accepted => matches!(
                next,
                Self::Succeeded | Self::Rejected | Self::Failed | Self::Unknown
            ),
            _ => false,
        }
    }
}

/// Why a job ended as `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// All attempts are used up.
    RetriesExhausted,
    /// An object that it refers to did not get there.
    DependencyFailed,
    /// Its `expires_at` passed before it was sent.
    Expired,
}

impl FailureCode {
    /// The word used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "retries_exhausted",
            Self::DependencyFailed => "dependency_failed",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_round_trip() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_code(state.code()), Some(state));
            assert_eq!(JobState::parse(state.as_str()), Some(state));
        }
        assert_eq!(JobState::from_code(9), None);
    }

    #[test]
    fn nothing_follows_a_terminal_state() {
        for from in JobState::ALL.into_iter().filter(|s| s.is_terminal()) {
            assert!(
                JobState::ALL.into_iter().all(|to| !from.may_become(to)),
                "{from:?}"
            );
        }
    }
}
