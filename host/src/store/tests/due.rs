//! Schedules, retries, expiry.

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::{World, execution, job, key, keyed, settlement, waits};
use crate::store::rows::{StagedItem, StagedJob, Transition};

#[tokio::test]
async fn scheduled_job_gets_its_place_when_due() {
    let world = World::new().await;
    let due = world.now().plus_ms(3_600_000);
    let past = StagedJob {
        scheduled_at: Some(Wall(5)),
        ..keyed(2, "past", "q")
    };
    let scheduled = StagedJob {
        scheduled_at: Some(due),
        ..keyed(0, "a", "k")
    };
    let seq = world
        .submit(vec![scheduled, keyed(1, "b", "k"), past])
        .await
        .execution;
    assert_eq!(
        world.heads(seq, 1).await,
        [seq.job(1), seq.job(2)],
        "a scheduled job holds neither key nor object; a past time is no schedule"
    );
    assert_eq!(
        world
            .store
            .open_execution(seq)
            .await
            .unwrap()
            .unwrap()
            .progress[0]
            .scheduled,
        1
    );
    assert_eq!(world.store.next_due().await.unwrap(), Some(due));
    assert!(world.send(1, &[seq.job(0)]).await.is_empty());
    let later = world.submit(vec![keyed(0, "c", "k")]).await.execution;
    world.deliver(seq.job(1), JobState::Succeeded).await;

    let (heads, changes) = world.store.fall_due(due, 10).await.unwrap();
    world.check().await;
    assert!(
        heads.is_empty(),
        "its place is behind the jobs accepted meanwhile"
    );
    assert_eq!(changes.progress[0].scheduled, 0);
    let after = world.submit(vec![keyed(0, "d", "k")]).await.execution;
    for expected in [later.job(0), seq.job(0), after.job(0)] {
        let heads = world
            .store
            .heads_of_keys(&[key("k")], world.now())
            .await
            .unwrap();
        assert_eq!(
            heads.iter().map(|head| head.job).collect::<Vec<_>>(),
            [expected]
        );
        world.deliver(expected, JobState::Succeeded).await;
    }
    assert_eq!(world.row(seq.job(0)).await.scheduled_at, Some(due));
}

#[tokio::test]
async fn own_seal_survives_a_restart_and_later_seals_follow_it() {
    let world = World::new().await;
    let due = world.now().plus_ms(3_600_000);
    let seq = world
        .submit(vec![StagedJob {
            scheduled_at: Some(due),
            ..keyed(0, "a", "k")
        }])
        .await
        .execution;
    let (heads, _) = world.store.fall_due(due, 10).await.unwrap();
    assert_eq!(
        heads.iter().map(|head| head.job).collect::<Vec<_>>(),
        [seq.job(0)]
    );
    let world = world.reopen().await;
    let later = world.submit(vec![keyed(0, "b", "k")]).await;
    assert!(later.seal > heads[0].seal);
    assert_eq!(
        world
            .store
            .heads(&[later.execution.job(0), seq.job(0)])
            .await
            .unwrap(),
        heads
    );
}

#[tokio::test]
async fn unsealed_jobs_do_not_fall_due() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    let due = world.now().plus_ms(3_600_000);
    let item = StagedJob {
        scheduled_at: Some(due),
        expires_at: Some(due),
        ..job(0, "a")
    };
    world
        .store
        .stage(seq, vec![StagedItem::Job(item)])
        .await
        .unwrap();
    assert_eq!(world.store.next_due().await.unwrap(), None);
    assert!(
        world
            .store
            .fall_due(due, 10)
            .await
            .unwrap()
            .1
            .progress
            .is_empty()
    );
    assert!(world.store.expire(due, 10).await.unwrap().gone.is_empty());
    world.store.seal(seq, None).await.unwrap();
    assert_eq!(world.store.next_due().await.unwrap(), Some(due));
    world.check().await;
}

#[tokio::test]
async fn retries_fall_due_oldest_first_up_to_the_limit() {
    let world = World::new().await;
    let seq = world
        .submit((0..3).map(|i| job(i, &format!("p{i}"))).collect())
        .await
        .execution;
    let jobs = [seq.job(0), seq.job(1), seq.job(2)];
    world.send(1, &jobs).await;
    let retries = [(0, 30), (1, 10), (2, 20)];
    world
        .settle(
            retries
                .iter()
                .map(|(i, due)| {
                    waits(
                        jobs[*i],
                        Some(1),
                        Some(WaitingKind::Retry),
                        Some(Wall(*due)),
                    )
                })
                .collect(),
        )
        .await;
    assert_eq!(
        world
            .store
            .open_execution(seq)
            .await
            .unwrap()
            .unwrap()
            .progress[0]
            .retrying,
        3
    );
    let (heads, changes) = world.store.fall_due(Wall(25), 1).await.unwrap();
    assert_eq!(
        (heads[0].job, heads.len(), changes.progress[0].retrying),
        (jobs[1], 1, 2)
    );
    let (heads, _) = world.store.fall_due(Wall(25), 9).await.unwrap();
    world.check().await;
    assert_eq!(
        heads.iter().map(|head| head.job).collect::<Vec<_>>(),
        [jobs[2]]
    );
    assert_eq!(world.store.next_due().await.unwrap(), Some(Wall(30)));
}

#[tokio::test]
async fn waiting_jobs_expire() {
    let world = World::new().await;
    let expiry = world.now().plus_ms(60_000);
    let seq = world
        .submit(
            (0..3)
                .map(|i| StagedJob {
                    expires_at: Some(expiry),
                    ..job(i, &format!("p{i}"))
                })
                .collect(),
        )
        .await
        .execution;
    assert_eq!(world.store.next_due().await.unwrap(), Some(expiry));
    world.send(1, &[seq.job(1), seq.job(2)]).await;
    let lost = Transition::Waits {
        reason: None,
        until: None,
        parents: vec![],
        problem: None,
        keep_pinned: true,
        answer_lost: true,
    };
    world
        .settle(vec![settlement(seq.job(2), Some(1), lost)])
        .await;
    let changes = world.store.expire(expiry, 10).await.unwrap();
    world.check().await;
    assert_eq!(changes.gone, [seq.job(0), seq.job(2)]);
    let row = world.row(seq.job(0)).await;
    assert_eq!(
        (row.state, row.problem.unwrap().code.as_str()),
        (JobState::Failed, "expired")
    );
    assert_eq!(
        world.state_of(seq.job(1)).await.0,
        JobState::InFlight,
        "in flight keeps its true outcome"
    );
    assert_eq!(
        world.state_of(seq.job(2)).await.0,
        JobState::Unknown,
        "it may have arrived"
    );
    assert_eq!(world.blocked_keys().await, [key("product:p2")]);
    assert_eq!(world.store.next_due().await.unwrap(), None);
}
