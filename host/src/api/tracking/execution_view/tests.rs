//! The derivation of status, progress and the estimated end, for each row of the documented table.

use egression_core::domain::ids::{ExecutionId, ExecutionSeq, SubscriptionId};
use uuid::Uuid;

use super::*;
use crate::store::rows::ExecutionRow;

/// States in the order of the store: waiting, in_flight, accepted, succeeded, rejected, failed,
/// unknown, superseded, cancelled.
fn status(rows: &[(i64, [u64; 9])]) -> ExecutionStatus {
    let row = ExecutionRow {
        seq: ExecutionSeq(1),
        id: ExecutionId(Uuid::from_u128(1)),
        subscription: SubscriptionId(1),
        seal: Some(1),
        created_at: Wall(0),
        completed_at: None,
        expires_at: None,
        paused: false,
        cancel_requested_at: None,
        context: None,
        traceparent: None,
        retry_of: None,
        refused: 0,
    };
    let progress = rows.iter().map(|(connection, states)| ProgressRow {
        execution: ExecutionSeq(1),
        connection: ConnectionId(*connection),
        belt: BeltProgress {
            belt: 1,
            total: states.iter().sum(),
            states: *states,
            ..BeltProgress::default()
        },
        scheduled: 0,
        retrying: 0,
        sourcing: 0,
        blocked: 0,
        sent: states[1..8].iter().sum::<u64>() > 0,
    });
    ExecutionStatus {
        row,
        progress: progress.collect(),
        errors: Vec::new(),
        wait_ends: Vec::new(),
    }
}

fn derived(states: [u64; 9]) -> Status {
    derive(&status(&[(1, states)]), |_| false)
}

#[test]
fn unfinished_execution_is_queued_until_something_was_sent() {
    assert_eq!(derived([5, 0, 0, 0, 0, 0, 0, 0, 0]), Status::Queued);
    assert_eq!(derived([4, 1, 0, 0, 0, 0, 0, 0, 0]), Status::Running);
    assert_eq!(derived([4, 0, 0, 1, 0, 0, 0, 0, 0]), Status::Running);
    assert_eq!(derived([0, 0, 1, 0, 0, 0, 0, 0, 0]), Status::Running);
    let mut with_refused = status(&[(1, [5, 0, 0, 0, 0, 0, 0, 0, 0])]);
    with_refused.row.refused = 2;
    assert_eq!(derive(&with_refused, |_| false), Status::Queued);
    // All of them wait again after an attempt, whatever for.
    let mut again = status(&[(1, [5, 0, 0, 0, 0, 0, 0, 0, 0])]);
    again.progress[0].sent = true;
    assert_eq!(derive(&again, |_| false), Status::Running);
    let ended_unsent = status(&[(1, [5, 0, 0, 0, 0, 0, 0, 0, 3])]);
    assert_eq!(derive(&ended_unsent, |_| false), Status::Queued);
}

#[test]
fn done_execution_takes_its_status_from_its_jobs() {
    assert_eq!(derived([0, 0, 0, 5, 0, 0, 0, 0, 0]), Status::Succeeded);
    assert_eq!(derived([0, 0, 0, 0, 0, 0, 0, 5, 0]), Status::Succeeded);
    assert_eq!(
        derived([0, 0, 0, 5, 1, 0, 0, 0, 0]),
        Status::SucceededWithErrors
    );
    assert_eq!(
        derived([0, 0, 0, 0, 0, 0, 1, 1, 0]),
        Status::SucceededWithErrors
    );
    assert_eq!(derived([0, 0, 0, 0, 1, 0, 0, 0, 0]), Status::Failed);
    assert_eq!(derived([0, 0, 0, 0, 0, 1, 0, 0, 3]), Status::Failed);
    assert_eq!(derived([0, 0, 0, 0, 0, 0, 0, 0, 3]), Status::Cancelled);
    assert_eq!(derived([0, 0, 0, 4, 0, 0, 0, 0, 1]), Status::Succeeded);
}

#[test]
fn execution_is_cancelling_or_paused_on_request() {
    let mut cancelled = status(&[(1, [0, 1, 0, 4, 0, 0, 0, 0, 2])]);
    cancelled.row.cancel_requested_at = Some(Wall(1));
    assert_eq!(derive(&cancelled, |_| false), Status::Cancelling);
    cancelled.progress[0].belt.states = [0, 0, 0, 5, 0, 0, 0, 0, 2];
    assert_eq!(derive(&cancelled, |_| false), Status::Cancelled);
    // Cancelling came too late: every job had ended.
    cancelled.progress[0].belt.states = [0, 0, 0, 7, 0, 0, 0, 0, 0];
    assert_eq!(derive(&cancelled, |_| false), Status::Succeeded);

    let mut paused = status(&[
        (1, [5, 0, 0, 1, 0, 0, 0, 0, 0]),
        (2, [5, 0, 0, 0, 0, 0, 0, 0, 0]),
    ]);
    assert_eq!(derive(&paused, |c| c.0 == 1), Status::Running);
    assert_eq!(derive(&paused, |_| true), Status::Paused);
    paused.row.paused = true;
    assert_eq!(derive(&paused, |_| false), Status::Paused);
    let in_flight = status(&[(1, [0, 1, 0, 0, 0, 0, 0, 0, 0])]);
    assert_eq!(derive(&in_flight, |_| true), Status::Running);
}

#[test]
fn unsealed_execution_is_receiving() {
    let mut receiving = status(&[]);
    receiving.row.seal = None;
    assert_eq!(derive(&receiving, |_| false), Status::Receiving);
    assert!(!is_done(&receiving));
}

#[test]
fn unknown_job_does_not_keep_the_execution_open() {
    assert!(is_done(&status(&[(1, [0, 0, 0, 3, 0, 0, 1, 0, 0])])));
    assert!(!is_done(&status(&[(1, [0, 0, 1, 3, 0, 0, 0, 0, 0])])));
}

#[test]
fn counts_partition_the_total_and_progress_reaches_one_only_at_the_end() {
    let mut of_both = status(&[(1, [9000, 25, 1, 900, 50, 20, 1, 2, 1])]);
    of_both.row.refused = 3;
    let counts = Counts::of(&of_both);
    let parts =
        counts.waiting + counts.in_flight + counts.accepted + counts.succeeded + counts.rejected;
    let parts = parts + counts.failed + counts.superseded + counts.cancelled + counts.unknown;
    assert_eq!((parts, counts.rejected), (counts.total, 53));
    let nearly = Counts {
        total: 20_000,
        waiting: 1,
        succeeded: 19_999,
        ..Counts::default()
    };
    assert!((progress(&nearly) - 0.999).abs() < 1e-9);
    assert!(
        (progress(&Counts {
            total: 3,
            succeeded: 3,
            ..Counts::default()
        }) - 1.0)
            .abs()
            < 1e-9
    );
    assert!(progress(&Counts::default()).abs() < 1e-9);
}

#[test]
fn eta_follows_from_the_finished_jobs() {
    let counts = Counts {
        total: 100,
        waiting: 75,
        succeeded: 25,
        ..Counts::default()
    };
    assert_eq!(eta(&counts, Wall(0), Wall(1000)), Some(Wall(4000)));
    assert_eq!(
        eta(
            &Counts {
                total: 1,
                waiting: 1,
                ..Counts::default()
            },
            Wall(0),
            Wall(1000)
        ),
        None
    );
    assert_eq!(eta(&counts, Wall(2000), Wall(1000)), None);
}

#[test]
fn status_words_are_those_of_its_json() {
    use strum::VariantNames as _;
    for word in Status::VARIANTS {
        let status: Status = word.parse().expect(word);
        assert_eq!(serde_json::to_value(status).ok(), Some((*word).into()));
    }
}
