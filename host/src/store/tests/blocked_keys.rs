//! Blocked keys.

use egression_core::domain::problem::Problem;
use egression_core::domain::state::{JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::{World, ended, execution, key, keyed, settlement, waits};
use crate::store::rows::{StagedItem, StagedJob, Transition};

const BLOCKED: (JobState, Option<WaitingKind>) = (JobState::Waiting, Some(WaitingKind::Blocked));

fn unknown(job: egression_core::domain::ids::JobSeq, call: i64) -> super::Settlement {
    let to = Transition::Ended {
        end: State::Unknown {
            problem: Problem::new("answer.lost", "an answer was lost"),
        },
        block_key: Some("an answer was lost".to_owned()),
    };
    settlement(job, Some(call), to)
}

#[tokio::test]
async fn blocked_key_survives_a_restart_and_sets_new_jobs_aside() {
    let world = World::new().await;
    let seq = world
        .submit(
            (0..4)
                .map(|i| keyed(i, &format!("p{i}"), "k"))
                .chain([keyed(4, "free", "other")])
                .collect(),
        )
        .await
        .execution;
    world.send(1, &[seq.job(0)]).await;
    let changes = world.settle(vec![unknown(seq.job(0), 1)]).await;
    assert_eq!(changes.blocked, [key("k")]);
    let progress = changes
        .progress
        .iter()
        .find(|row| row.execution == seq)
        .unwrap();
    assert_eq!(
        (
            progress.belt.set_aside,
            progress.belt.states[0],
            progress.belt.states[6]
        ),
        (3, 4, 1)
    );
    for index in 1..4 {
        assert_eq!(world.state_of(seq.job(index)).await, BLOCKED);
    }
    assert!(
        world.send(2, &[seq.job(1)]).await.is_empty(),
        "a blocked job is not sent"
    );

    let world = world.reopen().await;
    assert_eq!(world.blocked_keys().await, [key("k")]);
    let new = world.submit(vec![keyed(0, "new", "k")]).await.execution;
    let page = world.lane(new, 1).await;
    assert_eq!(
        (page.heads.len(), page.held.len(), page.blocked.as_slice()),
        (0, 0, [new.job(0)].as_slice())
    );
    assert!(
        world
            .store
            .heads_of_keys(&[key("k")], world.now())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(world.store.heads(&[new.job(0)]).await.unwrap().is_empty());
    assert!(
        world.send(3, &[new.job(0)]).await.is_empty(),
        "nor one that is not marked yet"
    );
    let changes = world
        .store
        .mark_blocked(&[new.job(0), seq.job(4)])
        .await
        .unwrap();
    world.check().await;
    assert_eq!(
        (changes.progress.len(), changes.progress[0].belt.set_aside),
        (1, 1)
    );
    assert_eq!(world.state_of(new.job(0)).await, BLOCKED);
    assert_eq!(
        world.state_of(seq.job(4)).await,
        (JobState::Waiting, None),
        "its key is free"
    );
}

#[tokio::test]
async fn waiting_head_blocks_its_key() {
    let world = World::new().await;
    let seq = world
        .submit(vec![keyed(0, "a", "k"), keyed(1, "b", "k")])
        .await
        .execution;
    world.send(1, &[seq.job(0)]).await;
    let changes = world
        .settle(vec![waits(
            seq.job(0),
            Some(1),
            Some(WaitingKind::Blocked),
            None,
        )])
        .await;
    assert_eq!(changes.blocked, [key("k")]);
    assert_eq!(
        (
            world.state_of(seq.job(0)).await,
            world.state_of(seq.job(1)).await
        ),
        (BLOCKED, BLOCKED)
    );
    assert!(changes.completed.is_empty());
}

#[tokio::test]
async fn retry_into_a_blocked_key_is_set_aside() {
    let world = World::new().await;
    let seq = world
        .submit(vec![
            keyed(0, "a", "k"),
            keyed(1, "b", "k"),
            keyed(2, "c", "k"),
        ])
        .await
        .execution;
    world.send(1, &[seq.job(0), seq.job(1), seq.job(2)]).await;
    let due = Wall(9);
    world
        .settle(vec![
            unknown(seq.job(0), 1),
            waits(seq.job(1), Some(1), None, None),
            waits(seq.job(2), Some(1), Some(WaitingKind::Retry), Some(due)),
        ])
        .await;
    assert_eq!(world.state_of(seq.job(1)).await, BLOCKED);
    let (heads, _) = world.store.fall_due(due, 10).await.unwrap();
    world.check().await;
    assert!(heads.is_empty());
    assert_eq!(world.state_of(seq.job(2)).await, BLOCKED);
}

#[tokio::test]
async fn blocked_key_sets_aside_more_jobs_than_one_transaction_takes() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    for chunk in 0..3u32 {
        world
            .store
            .stage(
                seq,
                (0..900)
                    .map(|i| StagedItem::Job(keyed(chunk * 900 + i, "x", "k")))
                    .collect(),
            )
            .await
            .unwrap();
    }
    world.store.seal(seq, None).await.unwrap();
    world.send(1, &[seq.job(0)]).await;
    let changes = world.settle(vec![unknown(seq.job(0), 1)]).await;
    assert_eq!(
        (changes.progress.len(), changes.progress[0].belt.set_aside),
        (1, 2699)
    );
    assert!(
        world
            .settle(vec![ended(seq.job(5), None, JobState::Failed)])
            .await
            .stale
            .is_empty(),
        "a person may end a blocked job"
    );
}

#[tokio::test]
async fn blocked_key_sets_aside_jobs_of_all_belts_executions_and_own_seals() {
    let world = World::new().await;
    let due = world.now().plus_ms(60_000);
    let first = world.store.begin_execution(execution()).await.unwrap();
    let second = world.store.begin_execution(execution()).await.unwrap();
    for seq in [first, second] {
        // Belts and numbers in opposite order, and more jobs in each than one transaction takes.
        for (chunk, belt) in [(0, 3), (1, 3), (2, 1), (3, 1)] {
            let jobs = (0..700)
                .map(|i| {
                    StagedItem::Job(StagedJob {
                        belt,
                        ..keyed(chunk * 700 + i, "x", "k")
                    })
                })
                .collect();
            world.store.stage(seq, jobs).await.unwrap();
        }
        let later = StagedJob {
            belt: 4,
            scheduled_at: Some(due),
            ..keyed(2800, "later", "k")
        };
        world
            .store
            .stage(seq, vec![StagedItem::Job(later)])
            .await
            .unwrap();
        world.store.seal(seq, None).await.unwrap();
    }
    world.store.fall_due(due, 10).await.unwrap();
    let head = first.job(1400);
    world.send(1, &[head]).await;
    let changes = world.settle(vec![unknown(head, 1)]).await;
    let set_aside: u64 = changes.progress.iter().map(|row| row.belt.set_aside).sum();
    assert_eq!(set_aside, 2 * 2801 - 1);
    assert_eq!(world.state_of(second.job(2800)).await, BLOCKED);
}
