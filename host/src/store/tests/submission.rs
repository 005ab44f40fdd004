//! Staging, sealing, abandoning, idempotency keys.

use egression_core::domain::ids::{ConnectionId, JobId};
use egression_core::domain::state::JobState;

use super::{ACME, SHOP, World, execution, job, object, refused};
use crate::store::StoreError;
use crate::store::rows::{ExecutionFilter, IdempotencyMark, JobFilter, StagedItem, StagedJob};

fn mark(key: &str) -> IdempotencyMark {
    IdempotencyMark {
        operation: "bulk",
        key: key.to_owned(),
        body_hash: [4; 32],
    }
}

#[tokio::test]
async fn staged_items_are_invisible_until_sealed() {
    let world = World::new().await;
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    for chunk in 0..3u32 {
        let items = (0..250).map(|i| StagedItem::Job(job(chunk * 250 + i, &format!("p{i}"))));
        store.stage(seq, items.collect()).await.unwrap();
        world.check().await;
    }
    store
        .stage(
            seq,
            vec![refused(750, "json.invalid"), refused(751, "json.invalid")],
        )
        .await
        .unwrap();
    world.check().await;
    assert!(store.open_executions().await.unwrap().is_empty());
    assert_eq!(store.backlog(), 750);
    assert!(
        store
            .object_jobs(None, &object("p1"), None, 10)
            .await
            .unwrap()
            .is_empty()
    );

    let mut changes = store.changes();
    let sealed = store.seal(seq, Some(mark("k"))).await.unwrap();
    assert_eq!(changes.recv().await.unwrap(), seq);
    world.check().await;
    let open = store.open_executions().await.unwrap();
    assert_eq!((open.len(), open[0].seq), (1, seq));
    let status = store.execution(seq).await.unwrap().unwrap();
    assert_eq!(status.row.seal, Some(sealed.seal));
    let belt = open[0]
        .progress
        .iter()
        .find(|row| row.connection == SHOP)
        .unwrap()
        .belt;
    assert_eq!(
        (
            belt.total,
            belt.states[0],
            belt.priorities().collect::<Vec<_>>()
        ),
        (750, 750, vec![0])
    );
    let status = store.execution(seq).await.unwrap().unwrap();
    assert_eq!(
        (status.errors[0].code.as_str(), status.errors[0].jobs),
        ("json.invalid", 2)
    );
    let refused = store
        .jobs(
            seq,
            &JobFilter {
                states: vec![JobState::Rejected],
                ..JobFilter::default()
            },
            None,
            10,
        )
        .await
        .unwrap();
    assert_eq!(
        (
            refused.len(),
            refused[0].seq.index(),
            refused[0].connection,
            refused[0].belt
        ),
        (2, 750, ConnectionId(0), 0)
    );
    assert_eq!(
        (
            refused[0].excerpt.as_deref(),
            refused[0].problem.as_ref().unwrap().code.as_str()
        ),
        (Some("{\"bad"), "json.invalid")
    );
    assert!(
        matches!(store.stage(seq, vec![]).await, Err(StoreError::Corrupt(_))),
        "sealed twice"
    );

    let record = store.idempotency(ACME, "bulk", "k").await.unwrap().unwrap();
    assert_eq!((record.execution, record.body_hash), (seq, [4; 32]));
    assert!(
        store
            .idempotency(ACME, "jobs", "k")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn unsealed_executions_are_removed_at_the_start() {
    let world = World::new().await;
    let kept = world.submit(vec![job(0, "kept")]).await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    let with_body = StagedJob {
        payload: Some("{}".to_owned()),
        client_ref: Some("r".to_owned()),
        ..job(2500, "x")
    };
    for chunk in 0..3u32 {
        world
            .store
            .stage(
                seq,
                (0..800)
                    .map(|i| StagedItem::Job(job(chunk * 800 + i, "y")))
                    .collect(),
            )
            .await
            .unwrap();
    }
    world
        .store
        .stage(seq, vec![StagedItem::Job(with_body), refused(2501, "bad")])
        .await
        .unwrap();
    assert_eq!(world.store.backlog(), 2402);
    let world = world.reopen().await;
    world.check().await;
    assert_eq!(world.store.backlog(), 1);
    assert!(world.store.execution(seq).await.unwrap().is_none());
    let left: i64 = world
        .store
        .read(|conn| {
            Box::pin(async move {
                Ok(sqlx::query_scalar(
                    "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM \
                    job_detail) + (SELECT count(*) FROM payload) + (SELECT count(*) FROM \
                    progress) + (SELECT count(*) FROM error_group)",
                )
                .fetch_one(conn)
                .await?)
            })
        })
        .await
        .unwrap();
    assert_eq!(left, 2, "one job and its counters");
    let later = world.submit(vec![job(0, "later")]).await;
    assert!(later.seal > kept.seal);
}

#[tokio::test]
async fn abandoned_execution_leaves_nothing_and_frees_its_key() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(seq, vec![StagedItem::Job(job(0, "a"))])
        .await
        .unwrap();
    world.store.abandon(seq).await.unwrap();
    world.check().await;
    assert!(matches!(
        world.store.seal(seq, Some(mark("k"))).await,
        Err(StoreError::Corrupt(_))
    ));
    assert!(
        world
            .store
            .idempotency(ACME, "bulk", "k")
            .await
            .unwrap()
            .is_none()
    );
    let sealed = world
        .store
        .submit(
            execution(),
            vec![StagedItem::Job(job(0, "a"))],
            Some(mark("k")),
        )
        .await
        .unwrap();
    world.store.abandon(sealed.execution).await.unwrap();
    assert!(
        world
            .store
            .execution(sealed.execution)
            .await
            .unwrap()
            .is_some(),
        "a sealed one is not removed"
    );
    let again = world
        .store
        .submit(
            execution(),
            vec![StagedItem::Job(job(0, "b"))],
            Some(mark("k")),
        )
        .await;
    assert!(matches!(again, Err(StoreError::KeyUsed)), "{again:?}");
    let staged = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(staged, vec![StagedItem::Job(job(0, "c"))])
        .await
        .unwrap();
    assert!(matches!(
        world.store.seal(staged, Some(mark("k"))).await,
        Err(StoreError::KeyUsed)
    ));
    world.store.abandon(staged).await.unwrap();
    assert_eq!(
        world
            .store
            .executions(&ExecutionFilter::default(), 10)
            .await
            .unwrap()
            .len(),
        1,
        "the other executions left nothing"
    );
    world.check().await;
}

#[tokio::test]
async fn execution_with_refused_items_only_is_complete_at_once() {
    let world = World::new().await;
    let sealed = world
        .store
        .submit(execution(), vec![refused(0, "bad")], None)
        .await
        .unwrap();
    world.check().await;
    let row = world
        .store
        .execution(sealed.execution)
        .await
        .unwrap()
        .unwrap()
        .row;
    assert!(row.expires_at.unwrap() > row.completed_at.unwrap());
    assert_eq!(world.store.backlog(), 0);
}

#[tokio::test]
async fn executions_are_found_by_their_context_newest_first() {
    let world = World::new().await;
    let mut first = execution();
    first.context = Some([("run".to_owned(), "1".to_owned())].into());
    let id = first.id;
    let first = world
        .store
        .submit(first, vec![StagedItem::Job(job(0, "a"))], None)
        .await
        .unwrap();
    let second = world.submit(vec![job(0, "b")]).await;
    let list = world
        .store
        .executions(&ExecutionFilter::default(), 10)
        .await
        .unwrap();
    assert_eq!(
        list.iter().map(|status| status.row.seq).collect::<Vec<_>>(),
        [second.execution, first.execution]
    );
    let filter = ExecutionFilter {
        context: [("run".to_owned(), "1".to_owned())].into(),
        done: Some(false),
        subscription: Some(ACME),
        before: None,
    };
    let list = world.store.executions(&filter, 10).await.unwrap();
    assert_eq!(
        list.iter().map(|status| status.row.id).collect::<Vec<_>>(),
        [id]
    );
    assert_eq!(list[0].progress[0].belt.total, 1);
    assert!(
        world
            .store
            .executions(
                &ExecutionFilter {
                    done: Some(true),
                    ..filter
                },
                10
            )
            .await
            .unwrap()
            .is_empty()
    );

    assert_eq!(
        world.store.execution_seq(id).await.unwrap(),
        Some(first.execution)
    );
    let job_id = JobId {
        execution: id,
        index: 0,
    };
    assert_eq!(
        world.store.job_id(first.execution.job(0)).await.unwrap(),
        Some(job_id)
    );
    assert_eq!(
        world
            .store
            .job(job_id)
            .await
            .unwrap()
            .unwrap()
            .partition_key,
        "product:a"
    );
    assert!(
        world
            .store
            .job(JobId { index: 1, ..job_id })
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn seal_is_refused_if_a_connection_is_gone() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    world.raw("DELETE FROM connection WHERE id = 8").await;
    let gone = StagedJob {
        connection: ConnectionId(8),
        ..job(1, "b")
    };
    world
        .store
        .stage(
            seq,
            vec![
                StagedItem::Job(job(0, "a")),
                StagedItem::Job(gone.clone()),
                refused(2, "bad"),
            ],
        )
        .await
        .unwrap();
    assert!(matches!(
        world.store.seal(seq, Some(mark("k"))).await,
        Err(StoreError::ConnectionGone)
    ));
    world.store.abandon(seq).await.unwrap();
    let small = world
        .store
        .submit(execution(), vec![StagedItem::Job(gone)], Some(mark("k")))
        .await;
    assert!(
        matches!(small, Err(StoreError::ConnectionGone)),
        "{small:?}"
    );
    world.check().await;
    assert!(
        world
            .store
            .executions(&ExecutionFilter::default(), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        world
            .store
            .idempotency(ACME, "bulk", "k")
            .await
            .unwrap()
            .is_none()
    );
    world
        .store
        .submit(
            execution(),
            vec![StagedItem::Job(job(0, "a")), refused(1, "bad")],
            Some(mark("k")),
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn abandon_reports_a_database_error() {
    let world = World::new().await;
    let seq = world.store.begin_execution(execution()).await.unwrap();
    world
        .store
        .stage(seq, vec![StagedItem::Job(job(0, "a"))])
        .await
        .unwrap();
    world
        .raw("ALTER TABLE execution RENAME COLUMN seal TO hidden")
        .await;
    let refused = world.store.abandon(seq).await;
    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    world
        .raw("ALTER TABLE execution RENAME COLUMN hidden TO seal")
        .await;
    world.store.abandon(seq).await.unwrap();
    assert_eq!(world.store.backlog(), 0);
}
