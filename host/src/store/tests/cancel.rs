//! Cancel, pause, abort.

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::{SHOP, World, ended, execution, job, settlement, through, waits};
use crate::store::StoreError;
use crate::store::rows::{StagedItem, StagedJob, Transition};

#[tokio::test]
async fn cancel_ends_waiting_jobs_and_keeps_in_flight_outcomes() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    for chunk in 0..3u32 {
        world
            .store
            .stage(
                seq,
                (0..700)
                    .map(|i| StagedItem::Job(job(chunk * 700 + i, &format!("{chunk}-{i}"))))
                    .collect(),
            )
            .await
            .unwrap();
    }
    world.store.seal(seq, None).await.unwrap();
    let flying = [seq.job(0), seq.job(1), seq.job(2)];
    world.send(1, &flying).await;
    let changes = through(world.store.cancel_execution(seq, world.now()).await);
    world.check().await;
    assert_eq!(
        (
            changes.gone.len(),
            changes.completed.len(),
            changes.progress.len()
        ),
        (2097, 0, 1)
    );
    assert_eq!(
        (
            changes.progress[0].belt.states[8],
            changes.progress[0].belt.states[1]
        ),
        (2097, 3)
    );
    assert!(
        world
            .store
            .execution(seq)
            .await
            .unwrap()
            .unwrap()
            .row
            .cancel_requested_at
            .is_some()
    );

    let repeat = Transition::Waits {
        reason: None,
        until: None,
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: true,
    };
    let changes = world
        .settle(vec![
            ended(flying[0], Some(1), JobState::Succeeded),
            waits(flying[1], Some(1), Some(WaitingKind::Retry), Some(Wall(9))),
            settlement(flying[2], Some(1), repeat),
        ])
        .await;
    assert_eq!(
        changes.gone,
        [flying[1]],
        "a job that would wait again is cancelled"
    );
    assert_eq!(world.state_of(flying[1]).await.0, JobState::Cancelled);
    assert!(
        through(world.store.cancel_execution(seq, world.now()).await)
            .gone
            .is_empty()
    );
    let world = world.reopen().await;
    assert_eq!(
        world.state_of(flying[2]).await.0,
        JobState::Waiting,
        "nobody knows the outcome, so the job is repeated"
    );
    assert_eq!(
        world
            .deliver(flying[2], JobState::Succeeded)
            .await
            .completed,
        [seq]
    );
}

#[tokio::test]
async fn pause_stops_intents_at_once() {
    let world = World::new().await;
    let (paused, other) = (
        world.submit(vec![job(0, "a")]).await.execution,
        world.submit(vec![job(0, "b")]).await.execution,
    );
    assert!(world.store.pause_execution(paused).await.unwrap());
    let claimed = [paused.job(0), other.job(0)];
    assert_eq!(
        world.send(1, &claimed).await,
        [other.job(0)],
        "although both were claimed before"
    );
}

#[tokio::test]
async fn cancel_ends_a_pause_and_waits_for_a_person() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
    let (repeated, used_up) = (seq.job(0), seq.job(1));
    world.send(1, &[repeated, used_up]).await;
    let repeat = |reason| Transition::Waits {
        reason,
        until: None,
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: false,
    };
    world
        .settle(vec![settlement(repeated, Some(1), repeat(None))])
        .await;
    assert!(world.store.pause_execution(seq).await.unwrap());
    assert!(
        through(world.store.cancel_execution(seq, world.now()).await)
            .gone
            .is_empty()
    );
    let changes = world
        .settle(vec![settlement(
            used_up,
            Some(1),
            repeat(Some(WaitingKind::Blocked)),
        )])
        .await;
    assert_eq!(
        (changes.gone, world.state_of(used_up).await.0),
        (vec![used_up], JobState::Cancelled)
    );
    assert_eq!(
        world.deliver(repeated, JobState::Succeeded).await.completed,
        [seq],
        "the pause has ended"
    );
}

#[tokio::test]
async fn abandon_removes_requests_that_were_never_sealed_in_time() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(seq, vec![StagedItem::Job(job(0, "a"))])
        .await
        .unwrap();
    world.store.abandon_begun_before(Wall(0)).await.unwrap();
    assert_eq!(world.store.backlog(), 1, "it may still be arriving");
    world
        .store
        .abandon_begun_before(world.now().plus_ms(1))
        .await
        .unwrap();
    assert_eq!(world.store.backlog(), 0);
    world.check().await;
}

#[tokio::test]
async fn connection_removal_leaves_lost_answers_unknown() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
    let (lost, never_sent) = (seq.job(0), seq.job(1));
    world.send(1, &[lost]).await;
    let repeat = Transition::Waits {
        reason: None,
        until: None,
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: true,
    };
    world.settle(vec![settlement(lost, Some(1), repeat)]).await;
    through(world.store.cancel_connection(SHOP, world.now()).await);
    world.check().await;
    assert_eq!(
        (
            world.state_of(lost).await.0,
            world.state_of(never_sent).await.0
        ),
        (JobState::Unknown, JobState::Cancelled)
    );
}

#[tokio::test]
async fn cancel_continues_at_the_next_start() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
    world
        .store
        .write(1, move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE execution SET cancel_requested_at = 5")
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    let world = world.reopen().await;
    world.check().await;
    assert!(
        world
            .store
            .execution(seq)
            .await
            .unwrap()
            .unwrap()
            .row
            .completed_at
            .is_some()
    );
}

#[tokio::test]
async fn abort_ends_the_belts_from_one_on() {
    let world = World::new().await;
    let on = |index: u32, belt: u32| StagedJob {
        belt,
        ..job(index, &format!("p{index}"))
    };
    let elsewhere = StagedJob {
        connection: ConnectionId(8),
        ..on(3, 3)
    };
    let seq = world
        .submit(vec![on(0, 1), on(1, 2), on(2, 3), elsewhere])
        .await
        .execution;
    let changes = through(world.store.abort_belts(seq, SHOP, 2, world.now()).await);
    world.check().await;
    assert_eq!(changes.gone, [seq.job(1), seq.job(2)]);
    assert_eq!(world.state_of(seq.job(3)).await.0, JobState::Waiting);
    let changes = through(
        world
            .store
            .cancel_connection(ConnectionId(8), world.now())
            .await,
    );
    world.check().await;
    assert_eq!(changes.gone, [seq.job(3)]);
    assert!(
        through(
            world
                .store
                .cancel_connection(ConnectionId(8), world.now())
                .await
        )
        .gone
        .is_empty()
    );
}

#[tokio::test]
async fn pause_and_open_belt_survive_a_restart() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a")]).await.execution;
    assert!(world.store.pause_execution(seq).await.unwrap());
    assert!(!world.store.pause_execution(seq).await.unwrap());
    world.store.open_belt(seq, SHOP, 1).await.unwrap();
    let world = world.reopen().await;
    let open = world.store.open_execution(seq).await.unwrap().unwrap();
    assert!(open.paused && open.progress[0].belt.opened);
    assert!(
        world
            .store
            .resume_execution(seq, Vec::new())
            .await
            .unwrap()
            .0
    );
}

#[tokio::test]
async fn held_belt_is_released_once_and_stays_open() {
    let world = World::new().await;
    let on = |index, belt| StagedJob {
        belt,
        ..job(index, &format!("p{index}"))
    };
    let seq = world
        .submit(vec![on(0, 1), on(1, 2), on(2, 3)])
        .await
        .execution;
    world.store.open_belt(seq, SHOP, 1).await.unwrap();
    let release = async |world: &World| {
        let (_, changes) = world.store.resume_execution(seq, vec![SHOP]).await.unwrap();
        changes
            .progress
            .iter()
            .map(|row| (row.belt.belt, row.belt.opened))
            .collect::<Vec<_>>()
    };
    assert!(
        release(&world).await.is_empty(),
        "the first belt is unfinished, so no belt is held"
    );
    world.deliver(seq.job(0), JobState::Rejected).await;
    assert_eq!(release(&world).await, [(2, true)]);
    assert!(release(&world).await.is_empty());
    world.deliver(seq.job(1), JobState::Succeeded).await;
    assert!(
        release(&world).await.is_empty(),
        "a person decided about the failure in the first belt"
    );
    let world = world.reopen().await;
    let open = world.store.open_execution(seq).await.unwrap().unwrap();
    assert_eq!(
        open.progress
            .iter()
            .map(|row| row.belt.opened)
            .collect::<Vec<_>>(),
        [true, true, false]
    );
}

#[tokio::test]
async fn cancel_reports_its_part_if_it_fails() {
    let world = World::new().await;
    let seq = world
        .submit((0..2500).map(|i| job(i, &format!("p{i}"))).collect())
        .await
        .execution;
    let change = async |text: &'static str| {
        let done = world.store.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(text).execute(&mut tx.conn).await?;
                Ok(())
            })
        });
        done.await.unwrap();
    };
    change(
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
    change("DROP TRIGGER halt").await;
    let changes = through(world.store.cancel_execution(seq, world.now()).await);
    assert_eq!((changes.gone.len(), changes.completed), (1500, vec![seq]));
    world.check().await;
}
