//! Retention removes executions in bounded steps, and nothing that does not belong to them.

use egression_core::domain::ids::{ExecutionSeq, JobId};
use egression_core::domain::object::Remote;
use egression_core::domain::state::JobState;
use egression_core::time::Wall;

use super::{SHOP, World, end, ended, execution, job, keyed, object, settlement, through};
use crate::store::StoreOptions;
use crate::store::rows::{
    ExecutionFilter, IdMapChange, IdempotencyMark, StagedItem, StagedJob, Transition,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

async fn rows(world: &World) -> Vec<i64> {
    let question = "SELECT count(*) FROM job UNION ALL SELECT count(*) FROM job_detail UNION ALL \
        SELECT count(*) FROM payload UNION ALL SELECT count(*) FROM event UNION ALL SELECT \
        count(*) FROM progress UNION ALL SELECT count(*) FROM error_group UNION ALL SELECT \
        count(*) FROM idempotency UNION ALL SELECT count(*) FROM execution";
    world
        .store
        .read(move |conn| {
            Box::pin(async move { Ok(sqlx::query_scalar(question).fetch_all(conn).await?) })
        })
        .await
        .unwrap()
}

/// A time long after the retention of all ended executions.
fn later(world: &World) -> Wall {
    world
        .now()
        .plus_ms(StoreOptions::default().retention_ms + 2 * DAY_MS)
}

async fn fail(world: &World, seq: ExecutionSeq, jobs: u32) {
    for index in 0..jobs {
        world
            .settle(vec![ended(seq.job(index), None, JobState::Rejected)])
            .await;
    }
}

#[tokio::test]
async fn retention_removes_an_execution_with_all_its_rows() {
    let world = World::new().await;
    let full = |index| StagedJob {
        payload: Some("{}".to_owned()),
        client_ref: Some("r".to_owned()),
        ..job(index, &format!("p{index}"))
    };
    let new = execution();
    let id = new.id;
    let mark = IdempotencyMark {
        operation: "bulk",
        key: "k".to_owned(),
        body_hash: [4; 32],
    };
    let seq = world
        .store
        .submit(
            new,
            (0..3).map(|i| StagedItem::Job(full(i))).collect(),
            Some(mark),
        )
        .await
        .unwrap()
        .execution;
    world.send(1, &[seq.job(0)]).await;
    let remote = Remote {
        kind: "product".to_owned(),
        id: "r1".to_owned(),
        version: None,
        url: None,
        sub_id: None,
    };
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
    let unfinished = world.submit(vec![job(0, "p0")]).await.execution;
    assert_eq!(
        world.store.remove_expired(world.now()).await.unwrap(),
        0,
        "its time has not come"
    );

    assert_eq!(world.store.remove_expired(later(&world)).await.unwrap(), 1);
    world.check().await;
    assert_eq!(
        rows(&world).await,
        [1, 0, 0, 0, 1, 0, 0, 1],
        "the unfinished execution stays"
    );
    assert!(
        world.store.execution(seq).await.unwrap().is_none()
            && world
                .store
                .job(JobId {
                    execution: id,
                    index: 0
                })
                .await
                .unwrap()
                .is_none()
    );
    let history = world
        .store
        .object_jobs(None, &object("p0"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        history.iter().map(|row| row.seq).collect::<Vec<_>>(),
        [unfinished.job(0)]
    );
    // Facts about the object do not belong to an execution.
    let claim = world
        .store
        .claim(&[unfinished.job(0)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (claim.remotes, claim.delivered_revision),
        (vec![remote], Some(8))
    );
    assert!(
        world.submit(vec![job(0, "new")]).await.execution > unfinished,
        "numbers are never reused"
    );
}

#[tokio::test]
async fn retention_removes_a_large_execution_in_steps() {
    let world = World::new().await;
    let seq = world
        .submit((0..2500).map(|i| job(i, &format!("p{i}"))).collect())
        .await
        .execution;
    through(world.store.cancel_execution(seq, world.now()).await);
    world.submit(vec![job(0, "newer")]).await;
    let now = later(&world);
    let step = world.store.write(1000, move |tx| {
        Box::pin(async move { crate::store::lifecycle::retention::remove_some(tx, seq, now).await })
    });
    assert!(step.await.unwrap(), "there is more");
    assert_eq!(rows(&world).await[0], 1501);
    let world = world.reopen().await;
    assert_eq!(world.store.remove_expired(now).await.unwrap(), 1);
    assert_eq!(rows(&world).await, [1, 0, 0, 0, 1, 0, 0, 1]);
    world.check().await;
}

#[tokio::test]
async fn retention_keeps_what_a_person_must_decide() {
    let world = World::new().await;
    let seq = world.submit(vec![keyed(0, "a", "k")]).await.execution;
    world.send(1, &[seq.job(0)]).await;
    let unknown = Transition::Ended {
        end: end(JobState::Unknown),
        block_key: Some("lost".to_owned()),
    };
    world
        .settle(vec![settlement(seq.job(0), Some(1), unknown)])
        .await;
    let other = world.submit(vec![job(0, "b")]).await.execution;
    fail(&world, other, 1).await;
    let newest = world.submit(vec![job(0, "c")]).await.execution;
    fail(&world, newest, 1).await;
    assert_eq!(world.store.remove_expired(later(&world)).await.unwrap(), 1);
    assert!(world.store.execution(other).await.unwrap().is_none());
    assert_eq!(
        world.row(seq.job(0)).await.state,
        JobState::Unknown,
        "it is the head of a blocked key"
    );
    assert!(
        world.store.execution(newest).await.unwrap().is_some(),
        "numbers continue after the newest"
    );
    assert_eq!(world.blocked_keys().await.len(), 1);
    assert_eq!(world.heads(seq, 1).await, []);
    assert_eq!(SHOP, world.row(seq.job(0)).await.connection);
}

#[tokio::test]
async fn idempotency_key_lives_a_day_at_least() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        retention_ms: 0,
        ..StoreOptions::default()
    };
    let store = super::Store::open_with(directory.path(), super::Clock::system(), options)
        .await
        .unwrap();
    let world = World { directory, store };
    world.connect().await;
    let mark = IdempotencyMark {
        operation: "jobs",
        key: "k".to_owned(),
        body_hash: [4; 32],
    };
    let seq = world
        .store
        .submit(execution(), vec![StagedItem::Job(job(0, "a"))], Some(mark))
        .await
        .unwrap()
        .execution;
    fail(&world, seq, 1).await;
    world.submit(vec![job(0, "newer")]).await;
    let soon = world.now().plus_ms(DAY_MS / 2);
    assert_eq!(world.store.remove_expired(soon).await.unwrap(), 0);
    assert!(
        world
            .store
            .idempotency(super::ACME, "jobs", "k")
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        world
            .store
            .remove_expired(soon.plus_ms(DAY_MS))
            .await
            .unwrap(),
        1
    );
    assert!(
        world
            .store
            .idempotency(super::ACME, "jobs", "k")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn expired_executions_are_hidden_and_their_keys_free() {
    let world = World::new().await;
    let mark = |hash| IdempotencyMark {
        operation: "jobs",
        key: "k".to_owned(),
        body_hash: [hash; 32],
    };
    let submit = async |hash| {
        world
            .store
            .submit(
                execution(),
                vec![StagedItem::Job(job(0, "a"))],
                Some(mark(hash)),
            )
            .await
    };
    let first = submit(4).await.unwrap().execution;
    fail(&world, first, 1).await;
    let listed = async || {
        let list = world
            .store
            .executions(&ExecutionFilter::default(), 10)
            .await
            .unwrap();
        list.iter().map(|status| status.row.seq).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, [first]);
    world
        .raw(&format!(
            "UPDATE execution SET expires_at = {}",
            world.now().0
        ))
        .await;
    assert_eq!(listed().await, []);
    // The key and its execution are kept for a day.
    assert_eq!(
        world
            .store
            .idempotency(super::ACME, "jobs", "k")
            .await
            .unwrap()
            .unwrap()
            .execution,
        first
    );
    assert!(matches!(submit(5).await, Err(super::StoreError::KeyUsed)));
    world
        .raw(&format!(
            "UPDATE idempotency SET created_at = {}",
            world.now().0 - DAY_MS
        ))
        .await;
    assert!(
        world
            .store
            .idempotency(super::ACME, "jobs", "k")
            .await
            .unwrap()
            .is_none()
    );
    let second = submit(5).await.unwrap().execution;
    let record = world
        .store
        .idempotency(super::ACME, "jobs", "k")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((record.execution, record.body_hash), (second, [5; 32]));
    world.store.remove_expired(later(&world)).await.unwrap();
    assert_eq!(
        world
            .store
            .idempotency(super::ACME, "jobs", "k")
            .await
            .unwrap()
            .unwrap()
            .execution,
        second,
        "the newer execution keeps the key"
    );
}
