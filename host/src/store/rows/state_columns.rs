//! The columns in which a job's state is stored, and the state of stored columns. Nothing else
//! translates between the two.

use egression_core::domain::state::{EarlierSend, JobState, State, Wait};
use egression_core::time::Wall;

use crate::store::engine::sqlite::Row;
use crate::store::error::StoreError;
use crate::store::rows::columns;

/// A state as the columns of `job` hold it.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct StateColumns {
    pub(in crate::store) state: i64,
    pub(in crate::store) waiting: Option<i64>,
    pub(in crate::store) due_at: Option<i64>,
    pub(in crate::store) waits_since: Option<i64>,
    pub(in crate::store) finished_at: Option<i64>,
    pub(in crate::store) changed: Option<bool>,
}

impl StateColumns {
    /// The columns of a state that a job enters now.
    pub(in crate::store) fn of(state: &State, now: Wall) -> Self {
        let wait = state.wait();
        Self {
            state: state.kind().code(),
            waiting: wait.and_then(Wait::kind).map(|kind| kind.code()),
            due_at: wait.and_then(Wait::until).map(|at| at.0),
            waits_since: match wait {
                Some(Wait::Dependency { since, .. }) => Some(since.0),
                _ => None,
            },
            finished_at: state.kind().is_terminal().then_some(now.0),
            changed: match state {
                State::Succeeded { changed } => Some(*changed),
                _ => None,
            },
        }
    }
}

/// The state of an unfinished job, from the columns `state`, `waiting`, `due_at` and `waits_since`
/// of the job and `call_id`, `attempt` and `answer_lost` of its intent, if it has one.
pub(in crate::store) fn unfinished(row: &Row) -> Result<State, StoreError> {
    let call: Option<i64> = row.try_get("call_id")?;
    let answer_lost = row.try_get::<Option<bool>>("answer_lost")?.unwrap_or(false);
    match columns::state(row, "state")? {
        JobState::Waiting => Ok(State::Waiting {
            wait: wait(row)?,
            earlier: match (call, answer_lost) {
                (None, _) => EarlierSend::None,
                (Some(_), false) => EarlierSend::Pinned,
                (Some(_), true) => EarlierSend::AnswerLost,
            },
        }),
        JobState::InFlight => Ok(State::InFlight {
            call: call.ok_or_else(|| StoreError::Corrupt("in flight without intent".to_owned()))?,
            attempt: row.try_get("attempt")?,
            answer_lost,
        }),
        other => Err(StoreError::Corrupt(format!(
            "no change is stored of a job in state {}",
            other.as_str()
        ))),
    }
}

fn wait(row: &Row) -> Result<Wait, StoreError> {
    let due_at = columns::time(row, "due_at")?;
    let since = columns::time(row, "waits_since")?;
    let began = since.or(due_at).unwrap_or(Wall(0));
    Wait::new(columns::waiting(row, "waiting")?, due_at, began)
        .ok_or_else(|| StoreError::Corrupt("a waiting reason that is not stored".to_owned()))
}
