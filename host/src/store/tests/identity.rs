//! The data directory knows its store: an incomplete, older or foreign database is refused, and a
//! copy of a complete one is a backup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::World;
use super::fixtures::{execution, job};
use crate::clock::Clock;
use crate::store::engine::{connect, sqlite};
use crate::store::rows::StagedItem;
use crate::store::{Store, StoreError, StoreOptions};

const FILES: [&str; 3] = ["egression.db", "egression.db-wal", "egression.store"];

async fn open(directory: &Path) -> Result<Store, StoreError> {
    Store::open(directory, Clock::system()).await
}

/// The text of the refusal.
async fn refused(directory: &Path) -> String {
    match open(directory).await {
        Err(StoreError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// A copy of these files, as a kill leaves them.
fn copy(world: &World, names: &[&str]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in names {
        let from = world.directory.path().join(name);
        std::fs::copy(from, copy.path().join(name)).unwrap();
    }
    copy
}

async fn backlog(directory: &Path) -> u64 {
    let store = open(directory).await.unwrap();
    let backlog = store.backlog();
    store.close().await;
    backlog
}

#[tokio::test]
async fn closed_store_is_complete_without_its_log() {
    let world = World::new().await;
    world.submit(vec![job(0, "a")]).await;
    let reader = world.store.clone();
    reader.open_executions().await.unwrap();
    world.store.close().await;
    let log = world.directory.path().join("egression.db-wal");
    assert!(std::fs::metadata(log).map_or(0, |log| log.len()) == 0);
    // Also in another directory, as a backup.
    assert_eq!(backlog(copy(&world, &["egression.db"]).path()).await, 1);
}

#[tokio::test]
async fn killed_store_needs_its_log() {
    let world = World::new().await;
    world.submit(vec![job(0, "a")]).await;
    assert_eq!(backlog(copy(&world, &FILES).path()).await, 1);
    let without = copy(&world, &["egression.db", "egression.store"]);
    let text = refused(without.path()).await;
    assert!(text.contains("egression.db-wal"), "{text}");
    // A refusal changes nothing: with the log, the store is there.
    std::fs::copy(
        world.directory.path().join("egression.db-wal"),
        without.path().join("egression.db-wal"),
    )
    .unwrap();
    assert_eq!(backlog(without.path()).await, 1);
}

#[tokio::test]
async fn log_that_another_program_moved_is_not_missed() {
    let world = World::new().await;
    world.submit(vec![job(0, "a")]).await;
    let copy = copy(&world, &FILES);
    let other = rusqlite::Connection::open(copy.path().join("egression.db")).unwrap();
    let count = "SELECT count(*) FROM job";
    other.query_one(count, [], |_| Ok(())).unwrap();
    drop(other);
    assert!(!copy.path().join("egression.db-wal").exists());
    assert_eq!(backlog(copy.path()).await, 1);
}

#[tokio::test]
async fn missing_or_empty_database_is_refused_where_a_store_was() {
    let world = World::new().await;
    world.submit(vec![job(0, "a")]).await;
    world.store.close().await;
    let database = world.directory.path().join("egression.db");
    let kept = copy(&world, &["egression.db"]);
    for (state, remove) in [("is missing", true), ("is empty", false)] {
        std::fs::remove_file(&database).unwrap();
        if !remove {
            std::fs::write(&database, "").unwrap();
        }
        let text = refused(world.directory.path()).await;
        assert!(
            text.contains(state) && text.contains("egression.store"),
            "{text}"
        );
        std::fs::copy(kept.path().join("egression.db"), &database).unwrap();
    }
    assert_eq!(backlog(world.directory.path()).await, 1);
}

#[tokio::test]
async fn traces_of_a_store_prevent_a_new_one() {
    for trace in ["admin.key", "egression.db-wal"] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(trace), "x").unwrap();
        let text = refused(directory.path()).await;
        assert!(text.contains(trace), "{text}");
        assert!(!directory.path().join("egression.db").exists());
    }
    // It can precede the first start.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("master.key"), "x").unwrap();
    open(directory.path()).await.unwrap().close().await;
}

#[tokio::test]
async fn foreign_and_older_databases_are_refused() {
    let (mut world, other) = (World::new().await, World::new().await);
    world.store.close().await;
    let older = copy(&world, &["egression.db"]);
    world.restart().await;
    world.submit(vec![job(0, "a")]).await;
    world.store.close().await;
    other.store.close().await;
    let database = world.directory.path().join("egression.db");
    std::fs::copy(other.directory.path().join("egression.db"), &database).unwrap();
    let text = refused(world.directory.path()).await;
    assert!(text.contains("is not the database of this"), "{text}");
    std::fs::copy(older.path().join("egression.db"), &database).unwrap();
    let text = refused(world.directory.path()).await;
    assert!(text.contains("is not complete"), "{text}");
    // As the text says.
    std::fs::remove_file(world.directory.path().join("egression.store")).unwrap();
    assert_eq!(backlog(world.directory.path()).await, 0);
}

/// At each moment a reader has a state of the database open, but none stays open for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_stays_within_its_bound_under_steady_readers() {
    const BOUND: u64 = 1 << 20;
    let world = World::with(StoreOptions {
        log_max_bytes: BOUND,
        ..StoreOptions::default()
    })
    .await;
    let readers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(read_steadily(world.directory.path().join("egression.db"))))
        .collect();
    let mut largest = 0;
    for round in 0..60_u32 {
        let heavy = (0..100).map(|n| super::failures::heavy(round * 100 + n));
        let items: Vec<StagedItem> = heavy.collect();
        world.store.submit(execution(), items, None).await.unwrap();
        let log = std::fs::metadata(world.directory.path().join("egression.db-wal")).unwrap();
        largest = largest.max(log.len());
    }
    assert!(largest < 4 * BOUND, "{largest} bytes");
    for reader in readers {
        reader.abort();
    }
    world.store.close().await;
}

/// Opens one state of the database after the other, each for a moment.
async fn read_steadily(database: PathBuf) {
    let mut reader = connect::reader(&database, &StoreOptions::default()).unwrap();
    loop {
        for statement in ["BEGIN", "SELECT count(*) FROM meta"] {
            sqlite::query(statement).execute(&mut reader).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        sqlite::query("COMMIT").execute(&mut reader).unwrap();
    }
}
