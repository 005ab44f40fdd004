//! The states of a job, each with its data. `transition.rs` has the changes between them.

use strum::{EnumDiscriminants, EnumString, IntoStaticStr, VariantArray};

use super::problem::Problem;
use super::waiting::WaitingKind;
use crate::time::Wall;

/// A job's state with the data of that state. [`JobState`] is the state without its data.
#[derive(Clone, Debug, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(JobState),
    doc = "A job's state without its data. The codes are those of the store; every state up to",
    doc = "`Accepted` is unfinished.",
    derive(
        PartialOrd,
        Ord,
        Hash,
        serde::Serialize,
        serde::Deserialize,
        EnumString,
        IntoStaticStr,
        VariantArray
    ),
    strum(serialize_all = "snake_case", const_into_str),
    serde(rename_all = "snake_case")
)]
pub enum State {
    /// The host does not send the job now.
    Waiting { wait: Wait, earlier: EarlierSend },
    /// An intent is committed: the job is being sent, or was when the host died.
    InFlight {
        call: i64,
        /// The attempt's number, from 1.
        attempt: u32,
        /// The answer to an earlier send of the same bytes was lost.
        answer_lost: bool,
    },
    /// The destination took the job and decides later.
    Accepted {
        /// The destination's name for the pending decision.
        token: String,
        since: Wall,
        ask_at: Wall,
        /// The job ends as unknown if there is no decision by then.
        settle_by: Wall,
    },
    /// The object is at the destination.
    Succeeded {
        /// False: it was there already, unchanged.
        changed: bool,
    },
    /// Bad data: neither the destination nor the host will ever take the job unchanged.
    Rejected { problem: Problem },
    /// The host could not deliver the job.
    Failed { code: FailureCode, problem: Problem },
    /// The job may have been applied; a person decides.
    Unknown { problem: Problem },
    /// A newer job of the object was sent in its place.
    Superseded { problem: Option<Problem> },
    /// Taken back before it was sent, or before a repeat.
    Cancelled { problem: Option<Problem> },
}

/// What a waiting job waits for, as far as the store keeps it. The scheduler derives the other
/// reasons when somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing of its own: the scheduler decides.
    Ready,
    Schedule {
        until: Wall,
    },
    /// An object of another job.
    Dependency {
        since: Wall,
        /// When the host looks at the wait again.
        until: Option<Wall>,
    },
    Source {
        until: Wall,
    },
    Retry {
        until: Wall,
    },
    /// A person, who decides about the blocked key.
    Blocked,
    /// The job that is sent in its place.
    Merged,
}

/// What an earlier send of a waiting job may have left at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlierSend {
    /// Nothing: the next send may read the body anew.
    None,
    /// It is not proven that nothing was applied: a repeat sends the same bytes.
    Pinned,
    /// As `Pinned`, and the answer was lost: without a repeat nobody learns the outcome.
    AnswerLost,
}

/// Why a job ended as `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum FailureCode {
    /// All attempts are used up.
    RetriesExhausted,
    /// An object that it refers to did not get there.
    DependencyFailed,
    /// Its `expires_at` passed before it was sent.
    Expired,
}

impl State {
    /// The state of a job that was just accepted: scheduled if its time is in the future.
    pub fn submitted(scheduled_at: Option<Wall>, now: Wall) -> Self {
        let wait = match scheduled_at {
            Some(until) if until > now => Wait::Schedule { until },
            _ => Wait::Ready,
        };
        Self::Waiting {
            wait,
            earlier: EarlierSend::None,
        }
    }

    /// The state without its data.
    pub fn kind(&self) -> JobState {
        self.into()
    }

    /// The wait of a waiting job.
    pub const fn wait(&self) -> Option<Wait> {
        match self {
            Self::Waiting { wait, .. } => Some(*wait),
            _ => None,
        }
    }

    /// Nothing of the job's own keeps it from being sent, or only a time that may be cut short.
    pub const fn may_be_sent(&self) -> bool {
        matches!(
            self.wait(),
            Some(Wait::Ready | Wait::Retry { .. } | Wait::Source { .. })
        )
    }

    /// Whether an intent of the job is kept: it is in flight, or its bytes are pinned for a repeat.
    pub const fn has_intent(&self) -> bool {
        match self {
            Self::Waiting { earlier, .. } => !matches!(earlier, EarlierSend::None),
            Self::InFlight { .. } => true,
            _ => false,
        }
    }

    /// The problem that a job ended with.
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Rejected { problem }
            | Self::Failed { problem, .. }
            | Self::Unknown { problem } => Some(problem),
            Self::Superseded { problem } | Self::Cancelled { problem } => problem.as_ref(),
            Self::Waiting { .. }
            | Self::InFlight { .. }
            | Self::Accepted { .. }
            | Self::Succeeded { .. } => None,
        }
    }

    /// The code that groups an ended job with others: why it failed, otherwise its problem's code.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Failed { code, .. } => Some(code.as_str()),
            _ => self.problem().map(|problem| problem.code.as_str()),
        }
    }
}

impl Wait {
    /// A stored wait by its parts. A wait that only time ends gets a time: now, if none is given.
    /// `None`: the store does not keep this reason.
    pub fn new(reason: Option<WaitingKind>, until: Option<Wall>, now: Wall) -> Option<Self> {
        let at = until.unwrap_or(now);
        match reason {
            None => Some(Self::Ready),
            Some(WaitingKind::Schedule) => Some(Self::Schedule { until: at }),
            Some(WaitingKind::Dependency) => Some(Self::Dependency { since: now, until }),
            Some(WaitingKind::Source) => Some(Self::Source { until: at }),
            Some(WaitingKind::Retry) => Some(Self::Retry { until: at }),
            Some(WaitingKind::Blocked) => Some(Self::Blocked),
            Some(WaitingKind::Merged) => Some(Self::Merged),
            Some(_) => None,
        }
    }

    /// The reason; none: ready.
    pub const fn kind(self) -> Option<WaitingKind> {
        match self {
            Self::Ready => None,
            Self::Schedule { .. } => Some(WaitingKind::Schedule),
            Self::Dependency { .. } => Some(WaitingKind::Dependency),
            Self::Source { .. } => Some(WaitingKind::Source),
            Self::Retry { .. } => Some(WaitingKind::Retry),
            Self::Blocked => Some(WaitingKind::Blocked),
            Self::Merged => Some(WaitingKind::Merged),
        }
    }

    /// When the wait ends, or is looked at again.
    pub const fn until(self) -> Option<Wall> {
        match self {
            Self::Schedule { until } | Self::Source { until } | Self::Retry { until } => {
                Some(until)
            }
            Self::Dependency { until, .. } => until,
            Self::Ready | Self::Blocked | Self::Merged => None,
        }
    }
}

impl JobState {
    /// All states, in the order of their codes.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The store's number of the state.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The state of a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
    }

    /// The API's word.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The state of a word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        word.parse().ok()
    }

    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Waiting | Self::InFlight | Self::Accepted)
    }
}

impl FailureCode {
    /// The API's word.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The code of a word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        word.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_round_trip() {
        let words = [
            "waiting",
            "in_flight",
            "accepted",
            "succeeded",
            "rejected",
            "failed",
            "unknown",
            "superseded",
            "cancelled",
        ];
        for (code, (state, word)) in (0..).zip(JobState::ALL.iter().zip(words)) {
            assert_eq!((state.code(), state.as_str()), (code, word));
            assert_eq!(JobState::from_code(code), Some(*state));
            assert_eq!(JobState::parse(word), Some(*state));
        }
        assert_eq!(JobState::from_code(9), None);
        for code in FailureCode::VARIANTS {
            assert_eq!(FailureCode::parse(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn wait_keeps_the_stored_reasons_only() {
        let (now, until) = (Wall(1), Some(Wall(2)));
        for &kind in WaitingKind::ALL {
            let wait = Wait::new(Some(kind), until, now);
            assert_eq!(wait.is_some(), kind.is_stored(), "{kind:?}");
            assert!(wait.is_none_or(|wait| wait.kind() == Some(kind)));
        }
        assert_eq!(Wait::new(None, until, now), Some(Wait::Ready));
        let retry = Wait::new(Some(WaitingKind::Retry), None, now);
        assert_eq!(retry, Some(Wait::Retry { until: now }));
    }
}
