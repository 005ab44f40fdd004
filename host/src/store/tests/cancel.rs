//! Cancel, pause, abort.

use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::fixtures::{ended, in_belt, job, jobs, lost, repeats, retries, through};
use super::{SHOP, World};
use crate::store::StoreError;
use crate::store::rows::StagedJob;

impl World {
    async fn pause(&self, execution: ExecutionSeq) -> bool {
        self.store.pause_execution(execution).await.unwrap()
    }
}

#[tokio::test]
async fn cancel_ends_waiting_jobs_and_keeps_in_flight_outcomes() {
    let world = World::new().await;
    let seq = world.receive(jobs(2100, "p")).await;
    world.seal(seq).await;
    let flying = [seq.job(0), seq.job(1), seq.job(2)];
    world.send(1, &flying).await;
    let changes = world.cancel(seq).await;
    assert_eq!((changes.gone.len(), changes.completed), (2097, vec![]));
    let [progress] = changes.progress.as_slice() else {
        panic!("{:?}", changes.progress)
    };
    assert_eq!(
        (progress.belt.states[8], progress.belt.states[1]),
        (2097, 3)
    );
    assert!(world.status(seq).await.row.cancel_requested_at.is_some());

    let changes = world
        .settle(vec![
            ended(flying[0], Some(1), JobState::Succeeded),
            retries(flying[1], 1, Wall(9)),
            lost(flying[2], 1),
        ])
        .await;
    assert_eq!(
        changes.gone,
        [flying[1]],
        "a job that would wait again is cancelled"
    );
    assert_eq!(world.state_of(flying[1]).await.0, JobState::Cancelled);
    assert_eq!(world.cancel(seq).await.gone, []);
    let world = world.reopen().await;
    assert_eq!(
        world.state_of(flying[2]).await.0,
        JobState::Waiting,
        "nobody knows the outcome, so the job is repeated"
    );
    assert_eq!(world.succeed(flying[2]).await.completed, [seq]);
}

#[tokio::test]
async fn pause_stops_intents_at_once() {
    let world = World::new().await;
    let paused = world.submit_one("a").await;
    let other = world.submit_one("b").await;
    assert!(world.pause(paused.execution()).await);
    assert_eq!(
        world.send(1, &[paused, other]).await,
        [other],
        "although both were claimed before"
    );
}

#[tokio::test]
async fn cancel_ends_a_pause_and_waits_for_a_person() {
    let world = World::new().await;
    let [repeated, used_up] = world.submit_each(["a", "b"]).await;
    let seq = repeated.execution();
    world.send(1, &[repeated, used_up]).await;
    let repeat = |job, reason| vec![repeats(job, Some(1), reason, None, false)];
    world.settle(repeat(repeated, None)).await;
    assert!(world.pause(seq).await);
    assert_eq!(world.cancel(seq).await.gone, []);
    let blocked = repeat(used_up, Some(WaitingKind::Blocked));
    assert_eq!(world.settle(blocked).await.gone, [used_up]);
    assert_eq!(world.state_of(used_up).await.0, JobState::Cancelled);
    assert_eq!(
        world.succeed(repeated).await.completed,
        [seq],
        "the pause has ended"
    );
}

#[tokio::test]
async fn abandon_removes_requests_that_were_never_sealed_in_time() {
    let world = World::new().await;
    world.receive([job(0, "a")]).await;
    world.store.abandon_begun_before(Wall(0)).await.unwrap();
    assert_eq!(world.store.backlog(), 1, "it may still be arriving");
    let soon = world.now().plus_ms(1);
    world.store.abandon_begun_before(soon).await.unwrap();
    assert_eq!(world.store.backlog(), 0);
    world.check().await;
}

#[tokio::test]
async fn connection_removal_leaves_lost_answers_unknown() {
    let world = World::new().await;
    let [unanswered, never_sent] = world.submit_each(["a", "b"]).await;
    world.send(1, &[unanswered]).await;
    world.settle(vec![lost(unanswered, 1)]).await;
    world.cancel_connection(SHOP).await;
    assert_eq!(world.state_of(unanswered).await.0, JobState::Unknown);
    assert_eq!(world.state_of(never_sent).await.0, JobState::Cancelled);
}

#[tokio::test]
async fn cancel_continues_at_the_next_start() {
    let world = World::new().await;
    let seq = world.submit(jobs(2, "p")).await;
    world
        .raw("UPDATE execution SET cancel_requested_at = 5")
        .await;
    let world = world.reopen().await;
    world.check().await;
    assert!(world.status(seq).await.row.completed_at.is_some());
}

#[tokio::test]
async fn abort_ends_the_belts_from_one_on() {
    let world = World::new().await;
    let on = |index, belt| in_belt(belt, job(index, &format!("p{index}")));
    let elsewhere = StagedJob {
        connection: ConnectionId(8),
        ..on(3, 3)
    };
    let seq = world
        .submit([on(0, 1), on(1, 2), on(2, 3), elsewhere])
        .await;
    let changes = through(world.store.abort_belts(seq, SHOP, 2, world.now()).await);
    world.check().await;
    assert_eq!(changes.gone, [seq.job(1), seq.job(2)]);
    assert_eq!(world.state_of(seq.job(3)).await.0, JobState::Waiting);
    for gone in [vec![seq.job(3)], vec![]] {
        let changes = world.cancel_connection(ConnectionId(8)).await;
        assert_eq!(changes.gone, gone);
    }
}

#[tokio::test]
async fn pause_and_open_belt_survive_a_restart() {
    let world = World::new().await;
    let seq = world.submit([job(0, "a")]).await;
    assert!(world.pause(seq).await);
    assert!(!world.pause(seq).await);
    world.store.open_belt(seq, SHOP, 1).await.unwrap();
    let world = world.reopen().await;
    let open = world.store.open_execution(seq).await.unwrap().unwrap();
    assert!(open.paused && open.progress[0].belt.opened);
    let (was_paused, _) = world.store.resume_execution(seq, vec![]).await.unwrap();
    assert!(was_paused);
}

#[tokio::test]
async fn held_belt_is_released_once_and_stays_open() {
    let world = World::new().await;
    let belts = (1..).zip(jobs(3, "p"));
    let seq = world
        .submit(belts.map(|(belt, job)| in_belt(belt, job)))
        .await;
    world.store.open_belt(seq, SHOP, 1).await.unwrap();
    let release = async |world: &World| {
        let (_, changes) = world.store.resume_execution(seq, vec![SHOP]).await.unwrap();
        changes
            .progress
            .iter()
            .map(|row| (row.belt.belt, row.belt.opened))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        release(&world).await,
        [],
        "the first belt is unfinished, so no belt is held"
    );
    world.reject(seq.job(0)).await;
    assert_eq!(release(&world).await, [(2, true)]);
    assert_eq!(release(&world).await, []);
    world.succeed(seq.job(1)).await;
    assert_eq!(
        release(&world).await,
        [],
        "a person decided about the failure in the first belt"
    );
    let world = world.reopen().await;
    let progress = world.progress(seq).await;
    assert_eq!(
        [0, 1, 2].map(|belt| progress[belt].belt.opened),
        [true, true, false]
    );
}

#[tokio::test]
async fn cancel_reports_its_part_if_it_fails() {
    let world = World::new().await;
    let seq = world.submit(jobs(2500, "p")).await;
    world
        .raw(
            "CREATE TRIGGER halt BEFORE UPDATE ON job WHEN NEW.id & 16777215 = 1500 BEGIN SELECT \
            RAISE(ABORT, 'halt'); END",
        )
        .await;
    let (changes, end) = world.store.cancel_execution(seq, world.now()).await;
    assert!(matches!(end, Err(StoreError::Database(_))), "{end:?}");
    assert_eq!(
        (changes.gone.len(), changes.progress[0].belt.states[8]),
        (1000, 1000)
    );
    world.raw("DROP TRIGGER halt").await;
    let changes = world.cancel(seq).await;
    assert_eq!((changes.gone.len(), changes.completed), (1500, vec![seq]));
}
