//! One test for each row of "When a job does not succeed" and each clause of "Judgment".

#![allow(clippy::unwrap_used)]

mod clauses;
mod evidence;
mod lost_answer;
mod rows;
mod unsettled;

use super::*;
use crate::domain::action::Action;
use crate::domain::object::{ObjectKey, Remote};
use crate::domain::outcome::{CallError, Evidence, Outcome};
use crate::domain::problem::Problem;
use crate::domain::retry::RetryRules;
use crate::domain::waiting::WaitingKind;

const QUIET: Evidence = Evidence {
    write_left: false,
    answer_lost: false,
    anything_left: false,
};
const WROTE: Evidence = Evidence {
    write_left: true,
    answer_lost: false,
    anything_left: true,
};
const LOST: Evidence = Evidence {
    write_left: true,
    answer_lost: true,
    anything_left: true,
};

fn rules() -> &'static RetryRules {
    static RULES: std::sync::LazyLock<RetryRules> = std::sync::LazyLock::new(|| RetryRules {
        attempts: 3,
        base_ms: 1000,
        max_ms: 60_000,
        ..RetryRules::default()
    });
    &RULES
}

/// An idempotent upsert, sent alone, first attempt, answered; the jitter is at its upper bound.
fn input(outcome: Outcome) -> JudgeInput<'static> {
    JudgeInput {
        action: Action::Upsert,
        idempotent: true,
        declares_upsert: true,
        reconciles: false,
        rules: rules(),
        outcome,
        evidence: WROTE,
        attempts_before: 0,
        conflicts_before: 0,
        answer_lost_before: false,
        pinned_before: false,
        batch_size: 1,
        advanced: true,
        guest_failed: false,
        credential: CredentialCheck::NotMade,
        draw: 1.0,
    }
}

fn frame(evidence: Evidence, batch_size: u32) -> CallFrame {
    CallFrame {
        evidence,
        batch_size,
        credential: Credential::Session,
        credential_fresh: false,
    }
}

fn problem() -> Problem {
    Problem::new("some.code", "Some sentence.")
}

fn retryable(status: Option<u16>) -> Outcome {
    Outcome::Retryable {
        after_ms: None,
        problem: Problem {
            http_status: status,
            ..problem()
        },
    }
}

fn rejected(status: u16) -> Outcome {
    Outcome::Rejected(problem().status(status))
}

fn remote() -> Remote {
    Remote {
        kind: "product".into(),
        id: "9".into(),
        version: Some("4".into()),
        url: None,
        sub_id: None,
    }
}

#[track_caller]
fn again(verdict: Verdict) -> Again {
    match verdict {
        Verdict::Again(again) => again,
        other => panic!("goes again, but: {other:?}"),
    }
}

/// Goes again and waits for nothing of its own, unspent, with nothing pinned.
fn plain() -> Again {
    Again::default()
}
