//! A full disk, failing changes, dropped callers.

use futures_util::FutureExt as _;

use super::{World, execution, job};
use crate::store::rows::{StagedItem, StagedJob};
use crate::store::{Store, StoreError};

/// Limits the database to this number of pages, like a disk of that size. 0: no limit.
async fn disk_of(store: &Store, pages: i64) {
    store
        .write(1, move |tx| {
            Box::pin(async move {
                let pragma = if pages == 0 {
                    "PRAGMA max_page_count = 1073741823".to_owned()
                } else {
                    format!("PRAGMA max_page_count = {pages}")
                };
                sqlx::raw_sql(sqlx::AssertSqlSafe(pragma))
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
        .unwrap();
}

fn heavy(index: u32) -> StagedItem {
    StagedItem::Job(StagedJob {
        payload: Some("x".repeat(4_000)),
        ..job(index, &format!("p{index}"))
    })
}

#[tokio::test]
async fn full_disk_is_reported_and_the_store_resumes() {
    let world = World::new().await;
    let store = &world.store;
    let kept = world.submit(vec![job(0, "kept")]).await.execution;
    let receiving = store.begin_execution(execution()).await.unwrap();
    disk_of(store, 1).await;
    let (staged, submitted) = tokio::join!(
        store.stage(receiving, (0..200).map(heavy).collect()),
        store.submit(execution(), (0..200).map(heavy).collect(), None)
    );
    assert!(matches!(staged, Err(StoreError::Full)), "{staged:?}");
    assert!(matches!(submitted, Err(StoreError::Full)), "{submitted:?}");
    world.check().await;
    assert_eq!(store.backlog(), 1);
    assert_eq!(world.heads(kept, 1).await, [kept.job(0)]);
    disk_of(store, 0).await;
    store
        .stage(receiving, (0..200).map(heavy).collect())
        .await
        .unwrap();
    store.seal(receiving, None).await.unwrap();
    world.check().await;
    assert_eq!(world.heads(receiving, 1).await.len(), 200);
}

#[tokio::test]
async fn failing_change_is_undone_alone() {
    let world = World::new().await;
    let store = &world.store;
    let seq = store.begin_execution(execution()).await.unwrap();
    store
        .stage(seq, vec![StagedItem::Job(job(0, "a"))])
        .await
        .unwrap();
    let twice = store.stage(
        seq,
        vec![StagedItem::Job(job(1, "b")), StagedItem::Job(job(0, "a"))],
    );
    let other = store.stage(seq, vec![StagedItem::Job(job(2, "c"))]);
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
        let submission = world
            .store
            .submit(new, vec![StagedItem::Job(job(0, "a"))], None);
        // Polled once: it is in the queue. (A timeout of nothing would poll again a moment later,
        // and might see the end.)
        assert!(submission.now_or_never().is_none());
    }
    let seq = changes.recv().await.unwrap();
    assert_eq!(world.store.execution_seq(id).await.unwrap(), Some(seq));
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
