//! Schedules, retries, expiry.

use egression_core::domain::state::JobState;
use egression_core::time::Wall;

use super::World;
use super::fixtures::{job, jobs, key, keyed, lost, retries, scheduled};
use crate::store::rows::StagedJob;

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn scheduled_job_gets_its_place_when_due() {
    let world = World::new().await;
    let due = world.now().plus_ms(HOUR_MS);
    let seq = world
        .submit([
            scheduled(due, keyed(0, "a", "k")),
            keyed(1, "b", "k"),
            scheduled(Wall(5), keyed(2, "past", "q")),
        ])
        .await;
    assert_eq!(
        world.heads(seq, 1).await,
        [seq.job(1), seq.job(2)],
        "a scheduled job holds neither key nor object; a past time is no schedule"
    );
    assert_eq!(world.progress(seq).await[0].scheduled, 1);
    assert_eq!(world.store.next_due().await.unwrap(), Some(due));
    assert_eq!(world.send(1, &[seq.job(0)]).await, []);
    let later = world.submit_keyed("c", "k").await;
    world.succeed(seq.job(1)).await;

    let (heads, changes) = world.fall_due(due, 10).await;
    assert_eq!(heads, [], "its place is behind the jobs accepted meanwhile");
    assert_eq!(changes.progress[0].scheduled, 0);
    let after = world.submit_keyed("d", "k").await;
    for expected in [later, seq.job(0), after] {
        assert_eq!(world.heads_of_key("k").await, [expected]);
        world.succeed(expected).await;
    }
    assert_eq!(world.row(seq.job(0)).await.scheduled_at, Some(due));
}

#[tokio::test]
async fn own_seal_survives_a_restart_and_later_seals_follow_it() {
    let world = World::new().await;
    let due = world.now().plus_ms(HOUR_MS);
    let seq = world.submit([scheduled(due, keyed(0, "a", "k"))]).await;
    let (heads, _) = world.store.fall_due(due, 10).await.unwrap();
    assert_eq!((heads.len(), heads[0].job), (1, seq.job(0)));
    let world = world.reopen().await;
    let later = world.submit_keyed("b", "k").await;
    let seal = world.status(later.execution()).await.row.seal;
    assert!(seal > Some(heads[0].seal));
    let both = [later, seq.job(0)];
    assert_eq!(world.store.heads(&both).await.unwrap(), heads);
}

#[tokio::test]
async fn unsealed_jobs_do_not_fall_due() {
    let world = World::new().await;
    let due = world.now().plus_ms(HOUR_MS);
    let expiring = StagedJob {
        expires_at: Some(due),
        ..scheduled(due, job(0, "a"))
    };
    let seq = world.receive([expiring]).await;
    assert_eq!(world.store.next_due().await.unwrap(), None);
    assert_eq!(world.fall_due(due, 10).await.1.progress, []);
    assert_eq!(world.store.expire(due, 10).await.unwrap().gone, []);
    world.seal(seq).await;
    assert_eq!(world.store.next_due().await.unwrap(), Some(due));
    world.check().await;
}

#[tokio::test]
async fn retries_fall_due_oldest_first_up_to_the_limit() {
    let world = World::new().await;
    let jobs = world.submit_each(["p0", "p1", "p2"]).await;
    world.send(1, &jobs).await;
    let due = [30, 10, 20].into_iter().zip(jobs);
    world
        .settle(due.map(|(due, job)| retries(job, 1, Wall(due))).collect())
        .await;
    let seq = jobs[0].execution();
    assert_eq!(world.progress(seq).await[0].retrying, 3);
    let (heads, changes) = world.fall_due(Wall(25), 1).await;
    assert_eq!((heads, changes.progress[0].retrying), (vec![jobs[1]], 2));
    assert_eq!(world.fall_due(Wall(25), 9).await.0, [jobs[2]]);
    assert_eq!(world.store.next_due().await.unwrap(), Some(Wall(30)));
}

#[tokio::test]
async fn waiting_jobs_expire() {
    let world = World::new().await;
    let expiry = world.now().plus_ms(60_000);
    let expiring = |job| StagedJob {
        expires_at: Some(expiry),
        ..job
    };
    let seq = world.submit(jobs(3, "p").into_iter().map(expiring)).await;
    let [waiting, flying, unanswered] = [0, 1, 2].map(|index| seq.job(index));
    assert_eq!(world.store.next_due().await.unwrap(), Some(expiry));
    world.send(1, &[flying, unanswered]).await;
    world.settle(vec![lost(unanswered, 1)]).await;
    let changes = world.store.expire(expiry, 10).await.unwrap();
    world.check().await;
    assert_eq!(changes.gone, [waiting, unanswered]);
    let row = world.row(waiting).await;
    assert_eq!(row.state, JobState::Failed);
    assert_eq!(row.problem.unwrap().code, "expired");
    assert_eq!(
        world.state_of(flying).await.0,
        JobState::InFlight,
        "in flight keeps its true outcome"
    );
    assert_eq!(
        world.state_of(unanswered).await.0,
        JobState::Unknown,
        "it may have arrived"
    );
    assert_eq!(world.blocked_keys().await, [key("product:p2")]);
    assert_eq!(world.store.next_due().await.unwrap(), None);
}
