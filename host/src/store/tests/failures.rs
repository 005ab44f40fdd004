//! A full disk, failing changes, dropped callers, and changes that callers make together.

use futures_util::FutureExt as _;

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;

use super::World;
use super::fixtures::{ended, execution, intent, items, job, waits};
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

impl World {
    /// Holds the writer until the returned sender sends, so that changes meet.
    async fn hold_writer(&self) -> std::sync::mpsc::Sender<()> {
        let (release, released) = std::sync::mpsc::channel();
        let (held, holds) = tokio::sync::oneshot::channel();
        let store = self.store.clone();
        tokio::spawn(async move {
            let hold = store.write(1, move |_| {
                Box::pin(async move {
                    held.send(()).unwrap();
                    released.recv().unwrap();
                    Ok(())
                })
            });
            hold.await.unwrap();
        });
        holds.await.unwrap();
        release
    }

    async fn commits(&self) -> i64 {
        let commits = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'commits'";
        self.column(commits).await[0]
    }
}

#[tokio::test]
async fn settlements_that_meet_share_a_commit_and_divide_the_answer() {
    let world = World::new().await;
    let store = &world.store;
    let (good, stale) = (world.submit_one("a").await, world.submit_one("b").await);
    world.send(5, &[good]).await;
    world.send(6, &[stale]).await;
    let before = world.commits().await;
    let writer = world.hold_writer().await;
    let (first, second, ()) = tokio::join!(
        store.settle(vec![ended(good, Some(5), JobState::Succeeded)]),
        store.settle(vec![ended(stale, Some(99), JobState::Succeeded)]),
        async { writer.send(()).unwrap() },
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    // The change that held the writer, and the two together.
    assert_eq!(world.commits().await, before + 2);
    assert_eq!(
        (&first.completed, &first.stale),
        (&vec![good.execution()], &vec![])
    );
    assert_eq!((&second.completed, &second.stale), (&vec![], &vec![stale]));
    world.check().await;
}

#[tokio::test]
async fn job_that_two_callers_settle_is_stale_for_the_second() {
    let world = World::new().await;
    let store = &world.store;
    let one = world.submit_one("a").await;
    world.send(5, &[one]).await;
    let settle = || store.settle(vec![ended(one, Some(5), JobState::Succeeded)]);
    let writer = world.hold_writer().await;
    let release = async { writer.send(()).unwrap() };
    let (first, second, ()) = tokio::join!(settle(), settle(), release);
    assert_eq!(first.unwrap().stale, []);
    assert_eq!(second.unwrap().stale, [one]);
}

#[tokio::test]
async fn intents_that_meet_are_divided_among_their_callers() {
    let world = World::new().await;
    let store = &world.store;
    let [one, two] = world.submit_each(["a", "b"]).await;
    let writer = world.hold_writer().await;
    let (first, second, ()) = tokio::join!(
        store.open_intent(vec![intent(one, 5)]),
        store.open_intent(vec![intent(one, 6), intent(two, 6)]),
        async { writer.send(()).unwrap() },
    );
    assert_eq!(first.unwrap(), [one]);
    assert_eq!(second.unwrap(), [two]);
    world.check().await;
}

#[tokio::test]
async fn settlement_that_fails_harms_none_that_it_meets() {
    let world = World::new().await;
    let store = &world.store;
    let (good, bad) = (world.submit_one("a").await, world.submit_one("b").await);
    world.send(5, &[good]).await;
    world.send(6, &[bad]).await;
    // A wait for a limit is never stored.
    let broken = waits(bad, Some(6), Some(WaitingKind::Limit), None);
    let writer = world.hold_writer().await;
    let (kept, refused, ()) = tokio::join!(
        store.settle(vec![ended(good, Some(5), JobState::Succeeded)]),
        store.settle(vec![broken]),
        async { writer.send(()).unwrap() },
    );
    assert_eq!(kept.unwrap().completed, [good.execution()]);
    assert!(matches!(refused, Err(StoreError::Corrupt(_))));
    assert_eq!(world.row(good).await.state, JobState::Succeeded);
    assert_eq!(world.row(bad).await.state, JobState::InFlight);
    world.check().await;
}

#[tokio::test]
async fn callers_of_a_broken_writer_get_an_answer() {
    let world = World::new().await;
    let store = &world.store;
    let one = world.submit_one("a").await;
    let writer = world.hold_writer().await;
    let (settled, (), ()) = tokio::join!(
        store.settle(vec![ended(one, Some(5), JobState::Succeeded)]),
        store.break_writer(),
        async { writer.send(()).unwrap() },
    );
    assert!(matches!(settled, Err(StoreError::Closed)));
    let later = store.settle(vec![ended(one, Some(5), JobState::Succeeded)]);
    assert!(matches!(later.await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn job_that_cannot_be_read_fails_its_own_claim_only() {
    let world = World::new().await;
    let store = &world.store;
    let [good, bad] = world.submit_each(["a", "b"]).await;
    world
        .raw(&format!("UPDATE job SET action = 99 WHERE id = {}", bad.0))
        .await;
    let (good, bad) = ([good], [bad]);
    let (read, refused) = tokio::join!(store.claim(&good), store.claim(&bad));
    assert_eq!(read.unwrap().len(), 1);
    assert!(matches!(refused, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn reader_left_in_a_transaction_is_not_used_again() {
    let world = World::new().await;
    for _ in 0..8 {
        let left = world
            .store
            .read_statement(|conn| Box::pin(async move { conn.batch("BEGIN") }));
        left.await.unwrap();
        let count = world.column("SELECT count(*) FROM job").await;
        assert_eq!(count, [0]);
    }
}
