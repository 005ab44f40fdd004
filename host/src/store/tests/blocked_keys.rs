//! Blocked keys.

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::World;
use super::fixtures::{in_belt, items, key, keyed, retries, scheduled, unknown, waits};

const BLOCKED: (JobState, Option<WaitingKind>) = (JobState::Waiting, Some(WaitingKind::Blocked));

#[tokio::test]
async fn blocked_key_survives_a_restart_and_sets_new_jobs_aside() {
    let world = World::new().await;
    let jobs = ["p0", "p1", "p2", "p3"].map(|id| (id, "k"));
    let jobs = (0..).zip(jobs.into_iter().chain([("free", "other")]));
    let seq = world
        .submit(jobs.map(|(index, (id, key))| keyed(index, id, key)))
        .await;
    world.send(1, &[seq.job(0)]).await;
    let changes = world.settle(vec![unknown(seq.job(0), 1)]).await;
    assert_eq!(changes.blocked, [key("k")]);
    let progress = changes.progress.iter().find(|row| row.execution == seq);
    let belt = progress.unwrap().belt;
    assert_eq!((belt.set_aside, belt.states[0], belt.states[6]), (3, 4, 1));
    for index in 1..4 {
        assert_eq!(world.state_of(seq.job(index)).await, BLOCKED);
    }
    assert_eq!(
        world.send(2, &[seq.job(1)]).await,
        [],
        "a blocked job is not sent"
    );

    let world = world.reopen().await;
    assert_eq!(world.blocked_keys().await, [key("k")]);
    let new = world.submit_keyed("new", "k").await;
    let page = world.lane(new.execution(), 1).await;
    assert_eq!(
        (page.heads, page.held, page.blocked),
        (vec![], vec![], vec![new])
    );
    assert_eq!(world.heads_of_key("k").await, []);
    assert_eq!(world.heads_among(&[new]).await, []);
    assert_eq!(
        world.send(3, &[new]).await,
        [],
        "nor one that is not marked yet"
    );
    let marked = world.store.mark_blocked(&[new, seq.job(4)]).await.unwrap();
    world.check().await;
    assert_eq!(
        (marked.progress.len(), marked.progress[0].belt.set_aside),
        (1, 1)
    );
    assert_eq!(world.state_of(new).await, BLOCKED);
    assert_eq!(
        world.state_of(seq.job(4)).await,
        (JobState::Waiting, None),
        "its key is free"
    );
}

#[tokio::test]
async fn waiting_head_blocks_its_key() {
    let world = World::new().await;
    let seq = world.submit([keyed(0, "a", "k"), keyed(1, "b", "k")]).await;
    world.send(1, &[seq.job(0)]).await;
    let blocked = Some(WaitingKind::Blocked);
    let changes = world
        .settle(vec![waits(seq.job(0), Some(1), blocked, None)])
        .await;
    assert_eq!(changes.blocked, [key("k")]);
    assert_eq!(world.state_of(seq.job(0)).await, BLOCKED);
    assert_eq!(world.state_of(seq.job(1)).await, BLOCKED);
    assert!(changes.completed.is_empty());
}

#[tokio::test]
async fn retry_into_a_blocked_key_is_set_aside() {
    let world = World::new().await;
    let jobs = [(0, "a"), (1, "b"), (2, "c")].map(|(index, id)| keyed(index, id, "k"));
    let seq = world.submit(jobs).await;
    let [head, ready, retried] = [0, 1, 2].map(|index| seq.job(index));
    world.send(1, &[head, ready, retried]).await;
    let due = Wall(9);
    world
        .settle(vec![
            unknown(head, 1),
            waits(ready, Some(1), None, None),
            retries(retried, 1, due),
        ])
        .await;
    assert_eq!(world.state_of(ready).await, BLOCKED);
    assert_eq!(world.fall_due(due, 10).await.0, []);
    assert_eq!(world.state_of(retried).await, BLOCKED);
}

#[tokio::test]
async fn blocked_key_sets_aside_more_jobs_than_one_transaction_takes() {
    let world = World::new().await;
    let seq = world.receive((0..2700).map(|i| keyed(i, "x", "k"))).await;
    world.seal(seq).await;
    world.send(1, &[seq.job(0)]).await;
    let changes = world.settle(vec![unknown(seq.job(0), 1)]).await;
    assert_eq!(
        (changes.progress.len(), changes.progress[0].belt.set_aside),
        (1, 2699)
    );
    assert_eq!(
        world.end(seq.job(5), JobState::Failed).await.stale,
        [],
        "a person may end a blocked job"
    );
}

#[tokio::test]
async fn blocked_key_sets_aside_jobs_of_all_belts_executions_and_own_seals() {
    let world = World::new().await;
    let due = world.now().plus_ms(60_000);
    let first = world.receive([]).await;
    let second = world.receive([]).await;
    for seq in [first, second] {
        // Belts and numbers in opposite order, and more jobs in each than one transaction takes.
        let belt = |index| if index < 1400 { 3 } else { 1 };
        let jobs = (0..2800).map(|index| in_belt(belt(index), keyed(index, "x", "k")));
        let later = in_belt(4, scheduled(due, keyed(2800, "later", "k")));
        world.stage(seq, items(jobs.chain([later]))).await;
        world.seal(seq).await;
    }
    world.store.fall_due(due, 10).await.unwrap();
    let head = first.job(1400);
    world.send(1, &[head]).await;
    let changes = world.settle(vec![unknown(head, 1)]).await;
    let set_aside: u64 = changes.progress.iter().map(|row| row.belt.set_aside).sum();
    assert_eq!(set_aside, 2 * 2801 - 1);
    assert_eq!(world.state_of(second.job(2800)).await, BLOCKED);
}
