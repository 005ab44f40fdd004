//! Jobs, intents and settlements with the values that most tests share.

use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, ExecutionId, JobSeq};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use uuid::Uuid;

use super::{ACME, SHOP};
use crate::store::StoreError;
use crate::store::rows::{
    Changes, HeadRow, IdMapChange, IdempotencyMark, NewEvent, NewExecution, NewIntent, Pinned,
    Settlement, StagedItem, StagedJob, Transition,
};

/// The changes of a successful cancel.
pub fn through((changes, end): (Changes, Result<(), StoreError>)) -> Changes {
    end.unwrap();
    changes
}

pub fn execution() -> NewExecution {
    NewExecution {
        id: ExecutionId(Uuid::new_v4()),
        subscription: ACME,
        operation: "jobs",
        context: None,
        traceparent: None,
        created_at: Wall(1_000),
    }
}

pub fn object(id: &str) -> ObjectKey {
    ObjectKey::new("product", id)
}

/// A job of a product on the shop, in belt 1.
pub fn job(index: u32, id: &str) -> StagedJob {
    StagedJob {
        index,
        connection: SHOP,
        belt: 1,
        object: object(id),
        action: Action::Upsert,
        priority: 0,
        partition_key: None,
        source: None,
        scheduled_at: None,
        expires_at: None,
        client_ref: None,
        context: None,
        depends_on: Vec::new(),
        payload: None,
        full: false,
        revision: None,
        traceparent: None,
    }
}

/// Jobs of the products `{prefix}0`, `{prefix}1` and so on.
pub fn jobs(count: u32, prefix: &str) -> Vec<StagedJob> {
    let numbered = |index| job(index, &format!("{prefix}{index}"));
    (0..count).map(numbered).collect()
}

pub fn in_belt(belt: u32, job: StagedJob) -> StagedJob {
    StagedJob { belt, ..job }
}

pub fn scheduled(at: Wall, job: StagedJob) -> StagedJob {
    StagedJob {
        scheduled_at: Some(at),
        ..job
    }
}

pub fn items(jobs: impl IntoIterator<Item = StagedJob>) -> Vec<StagedItem> {
    jobs.into_iter().map(StagedItem::Job).collect()
}

pub fn keyed(index: u32, id: &str, key: &str) -> StagedJob {
    StagedJob {
        partition_key: Some(key.to_owned()),
        ..job(index, id)
    }
}

pub fn mark(key: &str) -> IdempotencyMark {
    IdempotencyMark {
        operation: "bulk",
        key: key.to_owned(),
        body_hash: [4; 32],
    }
}

pub fn refused(index: u32, code: &str) -> StagedItem {
    StagedItem::Refused {
        index,
        excerpt: "{\"bad".to_owned(),
        object: None,
        problem: Problem::new(code, "it is bad"),
    }
}

pub fn numbers(heads: &[HeadRow]) -> Vec<JobSeq> {
    heads.iter().map(|head| head.job).collect()
}

pub fn key(text: &str) -> (ConnectionId, KeyHash) {
    (SHOP, KeyHash::of(text))
}

pub fn event(stage: &'static str) -> NewEvent {
    NewEvent {
        at: Wall(2_000),
        stage,
        attempt: Some(1),
        http_status: Some(200),
        duration_ms: Some(12),
        detail: None,
        log: None,
    }
}

pub fn intent(job: JobSeq, call: i64) -> NewIntent {
    NewIntent {
        job,
        call,
        attempt: 1,
        pinned: Pinned {
            action: Action::Upsert,
            body: Some(format!("{{\"job\":{job}}}")),
            body_hash: [9; 32],
            revision: Some(3),
            counted: None,
            idempotency_key: format!("key-{job}"),
            answer_lost: false,
        },
        events: vec![event("sent")],
    }
}

pub fn settlement(job: JobSeq, call: Option<i64>, to: Transition) -> Settlement {
    Settlement {
        job,
        call,
        to,
        attempts: 1,
        conflicts: 0,
        id_map: IdMapChange::Keep,
        act_as: None,
        delivered_revision: None,
        events: vec![event("responded")],
    }
}

pub fn end(state: JobState) -> State {
    let problem = Problem::new("price.missing", "no price");
    match state {
        JobState::Succeeded => State::Succeeded { changed: true },
        JobState::Rejected => State::Rejected { problem },
        JobState::Failed => State::Failed {
            code: FailureCode::RetriesExhausted,
            problem,
        },
        JobState::Unknown => State::Unknown { problem },
        JobState::Superseded => State::Superseded { problem: None },
        JobState::Cancelled => State::Cancelled {
            problem: Some(problem),
        },
        other => panic!("{other:?} is no end"),
    }
}

pub fn ended(job: JobSeq, call: Option<i64>, state: JobState) -> Settlement {
    let to = Transition::Ended {
        end: end(state),
        block_key: None,
    };
    settlement(job, call, to)
}

pub fn waits(
    job: JobSeq,
    call: Option<i64>,
    reason: Option<WaitingKind>,
    until: Option<Wall>,
) -> Settlement {
    let to = Transition::Waits {
        reason,
        until,
        parents: Vec::new(),
        problem: None,
        keep_pinned: false,
        answer_lost: false,
    };
    settlement(job, call, to)
}

pub fn retries(job: JobSeq, call: i64, until: Wall) -> Settlement {
    waits(job, Some(call), Some(WaitingKind::Retry), Some(until))
}

pub fn waits_for(
    job: JobSeq,
    call: Option<i64>,
    parents: &[(&str, Option<JobSeq>)],
    until: Wall,
) -> Settlement {
    let to = Transition::Waits {
        reason: Some(WaitingKind::Dependency),
        until: Some(until),
        parents: parents
            .iter()
            .map(|(id, parent)| (object(id), *parent))
            .collect(),
        problem: None,
        keep_pinned: false,
        answer_lost: false,
    };
    settlement(job, call, to)
}

/// The job waits with its bytes pinned, because the attempt may have arrived.
pub fn repeats(
    job: JobSeq,
    call: Option<i64>,
    reason: Option<WaitingKind>,
    until: Option<Wall>,
    answer_lost: bool,
) -> Settlement {
    let to = Transition::Waits {
        reason,
        until,
        parents: Vec::new(),
        problem: None,
        keep_pinned: true,
        answer_lost,
    };
    settlement(job, call, to)
}

pub fn lost(job: JobSeq, call: i64) -> Settlement {
    repeats(job, Some(call), None, None, true)
}

/// The outcome is unknown, and the key is blocked.
pub fn unknown(job: JobSeq, call: i64) -> Settlement {
    let to = Transition::Ended {
        end: end(JobState::Unknown),
        block_key: Some("an answer was lost".to_owned()),
    };
    settlement(job, Some(call), to)
}

pub fn remote(kind: &str, id: &str) -> Remote {
    Remote {
        kind: kind.to_owned(),
        id: id.to_owned(),
        version: Some("3".to_owned()),
        url: None,
        sub_id: None,
    }
}
