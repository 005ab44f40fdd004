//! Retention removes executions in bounded steps, and nothing that does not belong to them.

use egression_core::domain::ids::{ExecutionSeq, JobId};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;

use super::fixtures::{ended, execution, items, job, jobs, keyed, mark, remote, unknown};
use super::{SHOP, World};
use crate::store::rows::{ExecutionFilter, IdMapChange, IdempotencyMark, StagedJob};
use crate::store::{StoreError, StoreOptions};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The rows of an execution with one unfinished job.
const UNFINISHED: [i64; 8] = [1, 0, 0, 0, 1, 0, 0, 1];

async fn rows(world: &World) -> Vec<i64> {
    let question = "SELECT count(*) FROM job UNION ALL SELECT count(*) FROM job_detail UNION ALL \
        SELECT count(*) FROM payload UNION ALL SELECT count(*) FROM event UNION ALL SELECT \
        count(*) FROM progress UNION ALL SELECT count(*) FROM error_group UNION ALL SELECT \
        count(*) FROM idempotency UNION ALL SELECT count(*) FROM execution";
    world.column(question).await
}

/// A time long after the retention of all ended executions.
fn later(world: &World) -> Wall {
    world
        .now()
        .plus_ms(StoreOptions::default().retention_ms + 2 * DAY_MS)
}

async fn remove_expired(world: &World, now: Wall) -> u64 {
    world.store.remove_expired(now).await.unwrap()
}

async fn is_kept(world: &World, seq: ExecutionSeq) -> bool {
    world.store.execution(seq).await.unwrap().is_some()
}

#[tokio::test]
async fn retention_removes_an_execution_with_all_its_rows() {
    let world = World::new().await;
    let full = |job| StagedJob {
        payload: Some("{}".to_owned()),
        client_ref: Some("r".to_owned()),
        ..job
    };
    let new = execution();
    let id = new.id;
    let items = items(jobs(3, "p").into_iter().map(full));
    let sealed = world.store.submit(new, items, Some(mark("k"))).await;
    let seq = sealed.unwrap().execution;
    world.send(1, &[seq.job(0)]).await;
    let remote = remote("product", "r1");
    let mut success = ended(seq.job(0), Some(1), JobState::Succeeded);
    success.id_map = IdMapChange::Replace(vec![remote.clone()]);
    success.delivered_revision = Some(8);
    world
        .settle(vec![
            success,
            ended(seq.job(1), None, JobState::Rejected),
            ended(seq.job(2), None, JobState::Rejected),
        ])
        .await;
    let unfinished = world.submit_one("p0").await;
    assert_eq!(
        remove_expired(&world, world.now()).await,
        0,
        "its time has not come"
    );

    assert_eq!(remove_expired(&world, later(&world)).await, 1);
    world.check().await;
    assert_eq!(
        rows(&world).await,
        UNFINISHED,
        "the unfinished execution stays"
    );
    assert!(!is_kept(&world, seq).await);
    let first = JobId {
        execution: id,
        index: 0,
    };
    assert!(world.store.job(first, None).await.unwrap().is_none());
    assert_eq!(world.history("p0").await, [unfinished]);
    // Facts about the object do not belong to an execution.
    let claim = world.claim(unfinished).await;
    assert_eq!(
        (claim.remotes, claim.delivered_revision),
        (vec![remote], Some(8))
    );
    assert!(
        world.submit_one("new").await > unfinished,
        "numbers are never reused"
    );
}

#[tokio::test]
async fn retention_removes_a_large_execution_in_steps() {
    let world = World::new().await;
    let seq = world.submit(jobs(2500, "p")).await;
    world.cancel(seq).await;
    world.submit_one("newer").await;
    let now = later(&world);
    let step = world.store.write(1000, move |tx| {
        Box::pin(async move { crate::store::lifecycle::retention::remove_some(tx, seq, now).await })
    });
    assert!(step.await.unwrap(), "there is more");
    assert_eq!(rows(&world).await[0], 1501);
    let world = world.reopen().await;
    assert_eq!(remove_expired(&world, now).await, 1);
    assert_eq!(rows(&world).await, UNFINISHED);
    world.check().await;
}

#[tokio::test]
async fn retention_keeps_what_a_person_must_decide() {
    let world = World::new().await;
    let head = world.submit([keyed(0, "a", "k")]).await.job(0);
    world.send(1, &[head]).await;
    world.settle(vec![unknown(head, 1)]).await;
    let other = world.submit_one("b").await;
    world.end(other, JobState::Rejected).await;
    let newest = world.submit_one("c").await;
    world.end(newest, JobState::Rejected).await;
    assert_eq!(remove_expired(&world, later(&world)).await, 1);
    assert!(!is_kept(&world, other.execution()).await);
    let row = world.row(head).await;
    assert_eq!(
        (row.state, row.connection),
        (JobState::Unknown, Some(SHOP)),
        "it is the head of a blocked key"
    );
    assert!(
        is_kept(&world, newest.execution()).await,
        "numbers continue after the newest"
    );
    assert_eq!(world.blocked_keys().await.len(), 1);
    assert_eq!(world.heads(head.execution(), 1).await, []);
}

#[tokio::test]
async fn idempotency_key_lives_a_day_at_least() {
    let world = World::with(StoreOptions {
        retention_ms: 0,
        ..StoreOptions::default()
    })
    .await;
    let submitted = world.submit_items(items([job(0, "a")]), Some(mark("k")));
    let first = submitted.await.unwrap().job(0);
    world.end(first, JobState::Rejected).await;
    world.submit_one("newer").await;
    let soon = world.now().plus_ms(DAY_MS / 2);
    assert_eq!(remove_expired(&world, soon).await, 0);
    assert!(world.record("bulk", "k").await.is_some());
    assert_eq!(remove_expired(&world, soon.plus_ms(DAY_MS)).await, 1);
    assert_eq!(world.record("bulk", "k").await, None);
}

#[tokio::test]
async fn expired_executions_are_hidden_and_their_keys_free() {
    let world = World::new().await;
    let submit = async |hash| {
        let mark = IdempotencyMark {
            body_hash: [hash; 32],
            ..mark("k")
        };
        let items = items([job(0, "a")]);
        world.submit_items(items, Some(mark)).await
    };
    let first = submit(4).await.unwrap();
    world.end(first.job(0), JobState::Rejected).await;
    let listed = async || world.listed(&ExecutionFilter::default()).await;
    assert_eq!(listed().await, [first]);
    let now = world.now().0;
    world
        .raw(&format!("UPDATE execution SET expires_at = {now}"))
        .await;
    assert_eq!(listed().await, []);
    // The key and its execution are kept for a day.
    let record = async || world.record("bulk", "k").await;
    assert_eq!(record().await.unwrap().execution, first);
    assert!(matches!(submit(5).await, Err(StoreError::KeyUsed)));
    let yesterday = now - DAY_MS;
    world
        .raw(&format!("UPDATE idempotency SET created_at = {yesterday}"))
        .await;
    assert_eq!(record().await, None);
    let second = submit(5).await.unwrap();
    let found = record().await.unwrap();
    assert_eq!((found.execution, found.body_hash), (second, [5; 32]));
    remove_expired(&world, later(&world)).await;
    assert_eq!(
        record().await.unwrap().execution,
        second,
        "the newer execution keeps the key"
    );
}
