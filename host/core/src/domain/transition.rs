//! The state machine of a job: which event leads from which state to which.
//!
//! [`State::apply`] is the only way from one state to the next. It consumes the state, and refuses
//! an event that does not fit it. The store writes only what it returns.

use super::problem::Problem;
use super::state::{EarlierSend, FailureCode, JobState, State, Wait};
use crate::time::Wall;

/// The problem code of a job that ended although an answer was lost.
const CODE_ANSWER_LOST: &str = "answer.lost";

/// What happens to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its intent was committed. Its key is not blocked.
    Sent { call: i64, attempt: u32 },
    /// An attempt, or its preparation, came to no end: the job waits.
    Waits {
        wait: Wait,
        /// What the attempt may have left. A job that was not in flight keeps what it had.
        left: EarlierSend,
    },
    /// The destination took it and decides later.
    Accepted {
        token: String,
        since: Wall,
        ask_at: Wall,
        settle_by: Wall,
    },
    /// An attempt, its preparation or a decision ended it in this terminal state.
    Ended(State),
    /// The time of its wait came. A child is looked at again at `again_at` if nobody settles it.
    FellDue { again_at: Wall },
    /// Its `expires_at` passed.
    Expired,
    /// A person, or the plan, takes it back.
    Cancelled {
        repeats: Repeats,
        /// What went wrong last, to be kept with it.
        problem: Option<Problem>,
    },
    /// Its key is blocked.
    KeyBlocked,
    /// Everything that it waited for is at the destination.
    ParentsArrived,
    /// The caller that settles this child may die before it does: look again at this time.
    LookAgain { at: Wall },
}

/// What a cancel does to a job that the host repeats because nobody knows whether it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// It continues until the outcome is known, like a job in flight.
    GoOn,
    /// It ends, because its connection is removed.
    End,
}

/// The event does not fit the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job in state {} cannot take the event {event}", .state.as_str())]
pub struct Refused {
    pub state: JobState,
    /// The event's name.
    pub event: &'static str,
}

impl State {
    /// The state after the event.
    ///
    /// # Errors
    /// [`Refused`] if the event does not fit the state. Terminal states refuse every event.
    pub fn apply(self, event: Event) -> Result<Self, Refused> {
        let refused = Refused {
            state: self.kind(),
            event: event.name(),
        };
        match self {
            Self::Waiting { wait, earlier } => after_waiting(wait, earlier, event),
            Self::InFlight { answer_lost, .. } => after_flight(answer_lost, event),
            Self::Accepted { .. } => after_acceptance(event),
            Self::Succeeded { .. }
            | Self::Rejected { .. }
            | Self::Failed { .. }
            | Self::Unknown { .. }
            | Self::Superseded { .. }
            | Self::Cancelled { .. } => None,
        }
        .ok_or(refused)
    }

    /// Whether a settlement is for this state: of the call whose intent is open, or without a call
    /// of a job that waits.
    pub fn is_settled_by(&self, settled: Option<i64>) -> bool {
        match self {
            Self::Waiting { .. } => settled.is_none(),
            Self::InFlight { call, .. } => settled == Some(*call),
            _ => false,
        }
    }
}

fn after_waiting(wait: Wait, earlier: EarlierSend, event: Event) -> Option<State> {
    let waits = |wait| Some(State::Waiting { wait, earlier });
    match (wait, event) {
        (Wait::Ready | Wait::Retry { .. } | Wait::Source { .. }, Event::Sent { call, attempt }) => {
            Some(State::InFlight {
                call,
                attempt,
                answer_lost: earlier == EarlierSend::AnswerLost,
            })
        }
        // A child that keeps waiting has waited since its wait began.
        (
            Wait::Dependency { since, .. },
            Event::Waits {
                wait: Wait::Dependency { until, .. },
                ..
            },
        ) => waits(Wait::Dependency { since, until }),
        (_, Event::Waits { wait, .. }) => waits(wait),
        (_, Event::Ended(end)) => end.kind().is_terminal().then_some(end),
        (
            Wait::Schedule { .. } | Wait::Retry { .. } | Wait::Source { .. },
            Event::FellDue { .. },
        ) => waits(Wait::Ready),
        (Wait::Dependency { since, .. }, Event::FellDue { again_at }) => waits(Wait::Dependency {
            since,
            until: Some(again_at),
        }),
        // Neither has a time of its own.
        (Wait::Ready | Wait::Blocked | Wait::Merged, Event::FellDue { .. }) => waits(wait),
        (_, Event::Expired) => Some(expired(earlier)),
        (_, Event::Cancelled { repeats, problem }) => cancelled(wait, earlier, repeats, problem),
        (Wait::Ready, Event::KeyBlocked) => waits(Wait::Blocked),
        (Wait::Dependency { .. }, Event::ParentsArrived) => waits(Wait::Ready),
        (Wait::Dependency { since, until }, Event::LookAgain { at }) => waits(Wait::Dependency {
            since,
            until: Some(until.map_or(at, |until| until.min(at))),
        }),
        _ => None,
    }
}

fn after_flight(answer_lost: bool, event: Event) -> Option<State> {
    match event {
        Event::Waits { wait, left } => {
            let earlier = match left {
                EarlierSend::Pinned if answer_lost => EarlierSend::AnswerLost,
                left => left,
            };
            Some(State::Waiting { wait, earlier })
        }
        Event::Accepted {
            token,
            since,
            ask_at,
            settle_by,
        } => Some(State::Accepted {
            token,
            since,
            ask_at,
            settle_by,
        }),
        Event::Ended(State::Cancelled { .. }) => None,
        Event::Ended(end) => end.kind().is_terminal().then_some(end),
        _ => None,
    }
}

fn after_acceptance(event: Event) -> Option<State> {
    match event {
        Event::Ended(
            end @ (State::Succeeded { .. }
            | State::Rejected { .. }
            | State::Failed { .. }
            | State::Unknown { .. }),
        ) => Some(end),
        _ => None,
    }
}

fn expired(earlier: EarlierSend) -> State {
    let code = FailureCode::Expired;
    if earlier == EarlierSend::AnswerLost {
        let message = "its time passed after an answer was lost: it may have arrived";
        return State::Unknown {
            problem: Problem::new(code.as_str(), message),
        };
    }
    let message = "its time passed before it was delivered";
    State::Failed {
        code,
        problem: Problem::new(code.as_str(), message),
    }
}

fn cancelled(
    wait: Wait,
    earlier: EarlierSend,
    repeats: Repeats,
    problem: Option<Problem>,
) -> Option<State> {
    let repeated = matches!(wait, Wait::Ready | Wait::Retry { .. } | Wait::Source { .. });
    match (earlier, repeats) {
        (EarlierSend::Pinned | EarlierSend::AnswerLost, Repeats::GoOn) if repeated => None,
        // Nobody repeats it any more, so the lost answer stays lost.
        (EarlierSend::AnswerLost, _) => {
            let message = "it was cancelled after an answer was lost: it may have arrived";
            Some(State::Unknown {
                problem: Problem::new(CODE_ANSWER_LOST, message),
            })
        }
        _ => Some(State::Cancelled { problem }),
    }
}

impl Event {
    const fn name(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Waits { .. } => "waits",
            Self::Accepted { .. } => "accepted",
            Self::Ended(_) => "ended",
            Self::FellDue { .. } => "fell_due",
            Self::Expired => "expired",
            Self::Cancelled { .. } => "cancelled",
            Self::KeyBlocked => "key_blocked",
            Self::ParentsArrived => "parents_arrived",
            Self::LookAgain { .. } => "look_again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_000);
    const LATER: Wall = Wall(2_000);

    const EVENTS: [&str; 15] = [
        "sent",
        "waits",
        "waits pinned",
        "waits lost",
        "accepted",
        "ended succeeded",
        "ended cancelled",
        "ended ready",
        "fell due",
        "expired",
        "cancelled",
        "cancelled for good",
        "key blocked",
        "parents arrived",
        "look again",
    ];

    /// For each state, the state after each of [`EVENTS`]; `-`: refused. After `+`: what an earlier
    /// send may have left.
    #[rustfmt::skip]
    const TABLE: &[(&str, [&str; 15])] = &[
        ("ready", ["in_flight", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "ready", "failed", "cancelled", "cancelled", "blocked", "-", "-"]),
        ("schedule", ["-", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "ready", "failed", "cancelled", "cancelled", "-", "-", "-"]),
        ("source", ["in_flight", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "ready", "failed", "cancelled", "cancelled", "-", "-", "-"]),
        ("retry", ["in_flight", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "ready", "failed", "cancelled", "cancelled", "-", "-", "-"]),
        ("dependency", ["-", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "dependency", "failed", "cancelled", "cancelled", "-", "ready", "dependency"]),
        ("blocked", ["-", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "blocked", "failed", "cancelled", "cancelled", "-", "-", "-"]),
        ("merged", ["-", "retry", "retry", "retry", "-", "succeeded", "cancelled", "-",
            "merged", "failed", "cancelled", "cancelled", "-", "-", "-"]),
        ("ready+pinned", ["in_flight", "retry+pinned", "retry+pinned", "retry+pinned", "-",
            "succeeded", "cancelled", "-", "ready+pinned", "failed", "-", "cancelled",
            "blocked+pinned", "-", "-"]),
        ("retry+lost", ["in_flight+lost", "retry+lost", "retry+lost", "retry+lost", "-",
            "succeeded", "cancelled", "-", "ready+lost", "unknown", "-", "unknown", "-", "-", "-"]),
        ("dependency+lost", ["-", "retry+lost", "retry+lost", "retry+lost", "-", "succeeded",
            "cancelled", "-", "dependency+lost", "unknown", "unknown", "unknown", "-",
            "ready+lost", "dependency+lost"]),
        ("blocked+lost", ["-", "retry+lost", "retry+lost", "retry+lost", "-", "succeeded",
            "cancelled", "-", "blocked+lost", "unknown", "unknown", "unknown", "-", "-", "-"]),
        ("in_flight", ["-", "retry", "retry+pinned", "retry+lost", "accepted", "succeeded", "-",
            "-", "-", "-", "-", "-", "-", "-", "-"]),
        ("in_flight+lost", ["-", "retry", "retry+lost", "retry+lost", "accepted", "succeeded",
            "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
        ("accepted", ["-", "-", "-", "-", "-", "succeeded", "-", "-", "-", "-", "-", "-", "-",
            "-", "-"]),
        ("succeeded", ["-"; 15]),
        ("rejected", ["-"; 15]),
        ("failed", ["-"; 15]),
        ("unknown", ["-"; 15]),
        ("superseded", ["-"; 15]),
        ("cancelled", ["-"; 15]),
    ];

    fn problem() -> Problem {
        Problem::new("price.missing", "no price")
    }

    fn state(name: &str) -> State {
        let (name, left) = name.split_once('+').unwrap_or((name, ""));
        let earlier = match left {
            "pinned" => EarlierSend::Pinned,
            "lost" => EarlierSend::AnswerLost,
            _ => EarlierSend::None,
        };
        let waits = |wait| State::Waiting { wait, earlier };
        let problem = problem();
        match name {
            "ready" => waits(Wait::Ready),
            "schedule" => waits(Wait::Schedule { until: NOW }),
            "source" => waits(Wait::Source { until: NOW }),
            "retry" => waits(Wait::Retry { until: NOW }),
            "dependency" => waits(Wait::Dependency {
                since: NOW,
                until: Some(LATER),
            }),
            "blocked" => waits(Wait::Blocked),
            "merged" => waits(Wait::Merged),
            "in_flight" => State::InFlight {
                call: 7,
                attempt: 1,
                answer_lost: earlier == EarlierSend::AnswerLost,
            },
            "accepted" => State::Accepted {
                token: "feed-1".to_owned(),
                since: NOW,
                ask_at: LATER,
                settle_by: LATER,
            },
            "succeeded" => State::Succeeded { changed: true },
            "rejected" => State::Rejected { problem },
            "failed" => State::Failed {
                code: FailureCode::RetriesExhausted,
                problem,
            },
            "unknown" => State::Unknown { problem },
            "superseded" => State::Superseded { problem: None },
            "cancelled" => State::Cancelled { problem: None },
            other => panic!("{other}"),
        }
    }

    fn name(state: &State) -> String {
        let (name, earlier) = match state {
            State::Waiting { wait, earlier } => {
                (wait.kind().map_or("ready", |kind| kind.as_str()), *earlier)
            }
            State::InFlight {
                answer_lost: true, ..
            } => ("in_flight", EarlierSend::AnswerLost),
            other => (other.kind().as_str(), EarlierSend::None),
        };
        match earlier {
            EarlierSend::None => name.to_owned(),
            EarlierSend::Pinned => format!("{name}+pinned"),
            EarlierSend::AnswerLost => format!("{name}+lost"),
        }
    }

    fn event(name: &str) -> Event {
        let waits = |left| Event::Waits {
            wait: Wait::Retry { until: LATER },
            left,
        };
        let cancelled = |repeats| Event::Cancelled {
            repeats,
            problem: Some(problem()),
        };
        match name {
            "sent" => Event::Sent {
                call: 8,
                attempt: 2,
            },
            "waits" => waits(EarlierSend::None),
            "waits pinned" => waits(EarlierSend::Pinned),
            "waits lost" => waits(EarlierSend::AnswerLost),
            "accepted" => Event::Accepted {
                token: "feed-1".to_owned(),
                since: NOW,
                ask_at: LATER,
                settle_by: LATER,
            },
            "fell due" => Event::FellDue { again_at: LATER },
            "expired" => Event::Expired,
            "cancelled" => cancelled(Repeats::GoOn),
            "cancelled for good" => cancelled(Repeats::End),
            "key blocked" => Event::KeyBlocked,
            "parents arrived" => Event::ParentsArrived,
            "look again" => Event::LookAgain { at: NOW },
            ended => Event::Ended(state(ended.strip_prefix("ended ").unwrap())),
        }
    }

    #[test]
    fn transitions_are_those_of_the_table() {
        for (from, row) in TABLE {
            assert_eq!(name(&state(from)), *from);
            for (on, expected) in EVENTS.iter().zip(row) {
                let next = state(from).apply(event(on));
                let next = next.map_or_else(|_| "-".to_owned(), |next| name(&next));
                assert_eq!(next, *expected, "{from}, {on}");
            }
        }
    }

    #[test]
    fn table_has_every_state() {
        for kind in JobState::ALL {
            let found = TABLE.iter().any(|(from, _)| state(from).kind() == *kind);
            assert!(found, "{kind:?}");
        }
    }

    #[test]
    fn refusal_names_state_and_event() {
        let refused = state("succeeded").apply(Event::Expired).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a job in state succeeded cannot take the event expired"
        );
    }

    #[test]
    fn accepted_ends_only_by_the_destinations_decision() {
        for (end, taken) in [
            ("rejected", true),
            ("failed", true),
            ("unknown", true),
            ("superseded", false),
            ("cancelled", false),
        ] {
            let next = state("accepted").apply(Event::Ended(state(end)));
            assert_eq!(next.is_ok(), taken, "{end}");
        }
    }

    #[test]
    fn child_keeps_the_beginning_of_its_wait() {
        let longer = Wait::Dependency {
            since: LATER,
            until: Some(Wall(9_000)),
        };
        let next = state("dependency").apply(Event::Waits {
            wait: longer,
            left: EarlierSend::None,
        });
        let expected = Wait::Dependency {
            since: NOW,
            until: Some(Wall(9_000)),
        };
        assert_eq!(next.unwrap().wait(), Some(expected));
        let sooner = state("dependency").apply(Event::LookAgain { at: Wall(1_500) });
        assert_eq!(
            sooner.unwrap().wait().and_then(Wait::until),
            Some(Wall(1_500))
        );
        let later = state("dependency").apply(Event::LookAgain { at: Wall(9_000) });
        assert_eq!(later.unwrap().wait().and_then(Wait::until), Some(LATER));
    }

    #[test]
    fn ends_without_an_attempt_say_why() {
        let expired = state("ready").apply(Event::Expired).unwrap();
        assert_eq!(expired.code(), Some("expired"));
        let lost = state("retry+lost").apply(Event::Expired).unwrap();
        assert_eq!(lost.code(), Some("expired"));
        let cancelled = state("ready").apply(event("cancelled")).unwrap();
        assert_eq!(cancelled.code(), Some("price.missing"));
        let lost = state("blocked+lost").apply(event("cancelled")).unwrap();
        assert_eq!(lost.code(), Some(CODE_ANSWER_LOST));
    }

    #[test]
    fn settlement_is_for_its_call_or_a_waiting_job() {
        for (name, call, is_for) in [
            ("in_flight", Some(7), true),
            ("in_flight", Some(8), false),
            ("in_flight", None, false),
            ("ready", None, true),
            ("ready", Some(7), false),
            ("succeeded", None, false),
        ] {
            assert_eq!(state(name).is_settled_by(call), is_for, "{name}, {call:?}");
        }
    }
}
