//! A full disk, failing changes, dropped callers.

use futures_util::FutureExt as _;

use super::World;
use super::fixtures::{execution, items, job};
use crate::store::StoreError;
use crate::store::rows::{StagedItem, StagedJob};

impl World {
    /// Limits the database to this number of pages, like a disk of that size.
    async fn limit_disk(&self, pages: u32) {
        self.raw(&format!("PRAGMA max_page_count = {pages}")).await;
    }
}

pub(super) fn heavy(index: u32) -> StagedItem {
    StagedItem::Job(StagedJob {
        payload: Some("x".repeat(4_000)),
        ..job(index, &format!("p{index}"))
    })
}

#[tokio::test]
async fn full_disk_is_reported_and_the_store_resumes() {
    let world = World::new().await;
    let store = &world.store;
    let kept = world.submit([job(0, "kept")]).await;
    let receiving = store.begin_execution(execution()).await.unwrap();
    world.limit_disk(1).await;
    let (staged, submitted) = tokio::join!(
        store.stage(receiving, (0..200).map(heavy).collect()),
        store.submit(execution(), (0..200).map(heavy).collect(), None)
    );
    assert!(matches!(staged, Err(StoreError::Full)), "{staged:?}");
    assert!(matches!(submitted, Err(StoreError::Full)), "{submitted:?}");
    world.check().await;
    assert_eq!(store.backlog(), 1);
    assert_eq!(world.heads(kept, 1).await, [kept.job(0)]);
    // A small change still succeeds, but that does not mean that there is room.
    world
        .raw("UPDATE subscription SET updated_at = 1 WHERE id = 1")
        .await;
    assert!(matches!(store.write_failure(), Some(StoreError::Full)));
    world.limit_disk(1_073_741_823).await;
    // The writer notices without other changes.
    while store.write_failure().is_some() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.stage(receiving, (0..200).map(heavy).collect()).await;
    world.seal(receiving).await;
    world.check().await;
    assert_eq!(world.heads(receiving, 1).await.len(), 200);
}

#[tokio::test]
async fn failing_change_is_undone_alone() {
    let world = World::new().await;
    let store = &world.store;
    let seq = world.receive([job(0, "a")]).await;
    let twice = store.stage(seq, items([job(1, "b"), job(0, "a")]));
    let other = store.stage(seq, items([job(2, "c")]));
    let (twice, other) = tokio::join!(twice, other);
    assert!(matches!(twice, Err(StoreError::Database(_))), "{twice:?}");
    other.unwrap();
    world.check().await;
    assert_eq!(store.backlog(), 2);
}

#[tokio::test]
async fn dropped_caller_cancels_nothing() {
    let world = World::new().await;
    let mut changes = world.store.changes();
    let new = execution();
    let id = new.id;
    {
        let submission = world.store.submit(new, items([job(0, "a")]), None);
        // Polled once: it is in the queue. (A timeout of nothing would poll again a moment later,
        // and might see the end.)
        assert!(submission.now_or_never().is_none());
    }
    let seq = changes.recv().await.unwrap();
    let found = world.store.find_execution(id, None).await.unwrap();
    assert_eq!(found.map(|found| found.row.seq), Some(seq));
    world.check().await;
}

#[tokio::test]
async fn closed_store_refuses_calls() {
    let world = World::new().await;
    let other = world.store.clone();
    world.store.close().await;
    other.close().await;
    assert!(matches!(
        other.submit(execution(), vec![], None).await,
        Err(StoreError::Closed)
    ));
    assert!(matches!(
        other.open_executions().await,
        Err(StoreError::Closed)
    ));
}
