//! Staging, sealing, abandoning, idempotency keys.

use egression_core::domain::ids::{ConnectionId, JobId};
use egression_core::domain::state::JobState;

use super::fixtures::{execution, items, job, jobs, mark, refused};
use super::{ACME, SHOP, World};
use crate::store::StoreError;
use crate::store::rows::{ExecutionFilter, JobFilter, StagedItem, StagedJob};

#[tokio::test]
async fn staged_items_are_invisible_until_sealed() {
    let world = World::new().await;
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    for chunk in items(jobs(750, "p")).chunks(250) {
        store.stage(seq, chunk.to_vec()).await.unwrap();
        world.check().await;
    }
    let lines = [750, 751].map(|index| refused(index, "json.invalid"));
    store.stage(seq, lines.to_vec()).await.unwrap();
    world.check().await;
    assert!(store.open_executions().await.unwrap().is_empty());
    assert_eq!(store.backlog(), 750);
    assert_eq!(world.history("p1").await, []);

    let mut changes = store.changes();
    let sealed = store.seal(seq, Some(mark("k"))).await.unwrap();
    assert_eq!(changes.recv().await.unwrap(), seq);
    world.check().await;
    let open = store.open_executions().await.unwrap();
    assert_eq!((open.len(), open[0].seq), (1, seq));
    let status = world.status(seq).await;
    assert_eq!(status.row.seal, Some(sealed.seal));
    let [progress] = open[0].progress.as_slice() else {
        panic!("{:?}", open[0].progress)
    };
    let (belt, connection) = (progress.belt, progress.connection);
    assert_eq!((connection, belt.total, belt.states[0]), (SHOP, 750, 750));
    assert_eq!(status.row.refused, 2);
    assert_eq!(belt.priorities().collect::<Vec<_>>(), [0]);
    assert_eq!(
        (status.errors[0].code.as_str(), status.errors[0].jobs),
        ("json.invalid", 2)
    );
    let rejected = JobFilter {
        states: vec![JobState::Rejected],
        ..JobFilter::default()
    };
    let refused = store.jobs(seq, &rejected, None, 10).await.unwrap();
    assert_eq!((refused.len(), refused[0].seq.index()), (2, 750));
    assert_eq!((refused[0].connection, refused[0].belt), (None, 0));
    assert_eq!(refused[0].excerpt.as_deref(), Some("{\"bad"));
    let problem = refused[0].problem.as_ref().unwrap();
    assert_eq!(problem.code, "json.invalid");
    assert!(
        matches!(store.stage(seq, vec![]).await, Err(StoreError::Corrupt(_))),
        "sealed twice"
    );

    let record = world.record("bulk", "k").await.unwrap();
    assert_eq!((record.execution, record.body_hash), (seq, [4; 32]));
    assert_eq!(world.record("jobs", "k").await, None);
}

#[tokio::test]
async fn unsealed_executions_are_removed_at_the_start() {
    let world = World::new().await;
    let kept = world.submit([job(0, "kept")]).await;
    let kept = world.status(kept).await.row.seal;
    let seq = world.receive((0..2400).map(|i| job(i, "y"))).await;
    let with_body = StagedJob {
        payload: Some("{}".to_owned()),
        client_ref: Some("r".to_owned()),
        ..job(2500, "x")
    };
    let last = vec![StagedItem::Job(with_body), refused(2501, "bad")];
    world.stage(seq, last).await;
    assert_eq!(world.store.backlog(), 2402);
    let world = world.reopen().await;
    world.check().await;
    assert_eq!(world.store.backlog(), 1);
    assert!(world.store.execution(seq).await.unwrap().is_none());
    let left = world.column(
        "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM job_detail) + (SELECT count(*) \
         FROM payload) + (SELECT count(*) FROM progress) + (SELECT count(*) FROM error_group)",
    );
    assert_eq!(left.await, [2], "one job and its counters");
    let later = world.submit([job(0, "later")]).await;
    assert!(world.status(later).await.row.seal > kept);
}

#[tokio::test]
async fn abandoned_execution_leaves_nothing_and_frees_its_key() {
    let world = World::new().await;
    let store = &world.store;
    let seq = world.receive([job(0, "a")]).await;
    store.abandon(seq).await.unwrap();
    world.check().await;
    let gone = store.seal(seq, Some(mark("k"))).await;
    assert!(matches!(gone, Err(StoreError::Corrupt(_))), "{gone:?}");
    assert_eq!(world.record("bulk", "k").await, None);
    let submit = async |id| {
        world
            .submit_items(items([job(0, id)]), Some(mark("k")))
            .await
    };
    let sealed = submit("a").await.unwrap();
    store.abandon(sealed).await.unwrap();
    assert!(
        store.execution(sealed).await.unwrap().is_some(),
        "a sealed one is not removed"
    );
    let again = submit("b").await;
    assert!(matches!(again, Err(StoreError::KeyUsed)), "{again:?}");
    let staged = world.receive([job(0, "c")]).await;
    let used = store.seal(staged, Some(mark("k"))).await;
    assert!(matches!(used, Err(StoreError::KeyUsed)), "{used:?}");
    store.abandon(staged).await.unwrap();
    assert_eq!(
        world.listed(&ExecutionFilter::default()).await,
        [sealed],
        "the other executions left nothing"
    );
    world.check().await;
}

#[tokio::test]
async fn execution_with_refused_items_only_is_complete_at_once() {
    let world = World::new().await;
    let submitted = world.submit_items(vec![refused(0, "bad")], None).await;
    world.check().await;
    let row = world.status(submitted.unwrap()).await.row;
    assert!(row.expires_at.unwrap() > row.completed_at.unwrap());
    assert_eq!(world.store.backlog(), 0);
}

#[tokio::test]
async fn executions_are_found_by_their_context_newest_first() {
    let world = World::new().await;
    let store = &world.store;
    let mut first = execution();
    first.context = Some([("run".to_owned(), "1".to_owned())].into());
    let id = first.id;
    let first = store.submit(first, items([job(0, "a")]), None).await;
    let first = first.unwrap().execution;
    let second = world.submit([job(0, "b")]).await;
    assert_eq!(
        world.listed(&ExecutionFilter::default()).await,
        [second, first]
    );
    let filter = ExecutionFilter {
        context: [("run".to_owned(), "1".to_owned())].into(),
        done: Some(false),
        subscription: Some(ACME),
        before: None,
    };
    let list = store.executions(&filter, 10).await.unwrap();
    assert_eq!((list.len(), list[0].row.id), (1, id));
    assert_eq!(list[0].progress[0].belt.total, 1);
    let done = ExecutionFilter {
        done: Some(true),
        ..filter
    };
    assert_eq!(world.listed(&done).await, []);

    let found = store.find_execution(id, None).await.unwrap();
    assert_eq!(found.map(|found| found.row.seq), Some(first));
    let job_id = JobId {
        execution: id,
        index: 0,
    };
    assert_eq!(store.job_id(first.job(0)).await.unwrap(), Some(job_id));
    let found = store.job(job_id, None).await.unwrap().unwrap();
    assert_eq!(found.partition_key, "product:a");
    let missing = JobId { index: 1, ..job_id };
    assert!(store.job(missing, None).await.unwrap().is_none());
}

#[tokio::test]
async fn seal_is_refused_if_a_connection_is_gone() {
    let world = World::new().await;
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    world.raw("DELETE FROM connection WHERE id = 8").await;
    let gone = StagedJob {
        connection: ConnectionId(8),
        ..job(1, "b")
    };
    let mut staged = items([job(0, "a"), gone.clone()]);
    staged.push(refused(2, "bad"));
    world.stage(seq, staged).await;
    let sealed = store.seal(seq, Some(mark("k"))).await;
    assert!(
        matches!(sealed, Err(StoreError::ConnectionGone)),
        "{sealed:?}"
    );
    store.abandon(seq).await.unwrap();
    let small = world.submit_items(items([gone]), Some(mark("k"))).await;
    assert!(
        matches!(small, Err(StoreError::ConnectionGone)),
        "{small:?}"
    );
    world.check().await;
    assert_eq!(world.listed(&ExecutionFilter::default()).await, []);
    assert_eq!(world.record("bulk", "k").await, None);
    let mixed = vec![StagedItem::Job(job(0, "a")), refused(1, "bad")];
    world.submit_items(mixed, Some(mark("k"))).await.unwrap();
}

#[tokio::test]
async fn abandon_reports_a_database_error() {
    let world = World::new().await;
    let seq = world.receive([job(0, "a")]).await;
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
