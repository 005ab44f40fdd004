//! The release of more children than one transaction notifies.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::JobState;

use super::fixtures::{ended, job, waits_for};
use super::{LATER, World};
use crate::store::dependencies::release::AT_ONCE;
use crate::store::lifecycle::settlement;
use crate::store::lifecycle::transition::JobChanges;
use crate::store::rows::{Changes, Settlement};

/// The object `a`'s job is number 0. All others wait for it: for that job, or for any of the
/// object.
async fn family(world: &World, children: u32, for_job: bool) -> (JobSeq, Vec<JobSeq>) {
    let child = |index| job(index, &format!("c{index}"));
    let jobs = std::iter::once(job(0, "a")).chain((1..=children).map(child));
    let seq = world.receive(jobs).await;
    world.seal(seq).await;
    let parent = seq.job(0);
    let parents = [("a", for_job.then_some(parent))];
    let children: Vec<_> = (1..=children).map(|index| seq.job(index)).collect();
    for chunk in children.chunks(1000) {
        let waits = chunk
            .iter()
            .map(|child| waits_for(*child, None, &parents, LATER));
        world.settle(waits.collect()).await;
    }
    (parent, children)
}

/// Runs only the transaction of a settlement, as if the host died right after it.
async fn settle_only(world: &World, settlements: Vec<Settlement>) -> Changes {
    let now = world.now();
    let settle = world.store.write(1, move |tx| {
        Box::pin(
            async move { settlement::settle(tx, JobChanges::at(now), settlements, |_| true).await },
        )
    });
    let changes = settle.await.unwrap();
    world.check().await;
    changes
}

async fn ready(world: &World, children: &[JobSeq]) -> usize {
    world.heads_among(children).await.len()
}

async fn pending_notifications(world: &World) -> i64 {
    let count = "SELECT count(*) FROM pending_notification";
    world.column(count).await[0]
}

#[tokio::test]
async fn release_notifies_more_children_than_one_transaction_takes() {
    let world = World::new().await;
    let (parent, children) = family(&world, 2500, true).await;
    let changes = world.succeed(parent).await;
    assert_eq!((changes.released.len(), changes.orphaned), (2500, vec![]));
    assert_eq!(ready(&world, &children).await, 2500);
    assert_eq!(pending_notifications(&world).await, 0);
}

#[tokio::test]
async fn release_continues_after_a_restart() {
    let world = World::new().await;
    let (parent, children) = family(&world, 2500, true).await;
    world.send(1, &[parent]).await;
    let changes = settle_only(&world, vec![ended(parent, Some(1), JobState::Succeeded)]).await;
    let released = changes.released.len();
    assert!(
        released <= AT_ONCE,
        "a transaction notifies at most this many: {released}"
    );
    assert_eq!(ready(&world, &children).await, released);
    assert_eq!(pending_notifications(&world).await, 1);
    let world = world.reopen().await;
    world.check().await;
    assert_eq!(ready(&world, &children).await, 2500);
    assert_eq!(pending_notifications(&world).await, 0);
}

#[tokio::test]
async fn orphans_fall_due_if_nobody_settles_them() {
    let world = World::new().await;
    let (parent, children) = family(&world, 1500, true).await;
    settle_only(&world, vec![ended(parent, None, JobState::Failed)]).await;
    let world = world.reopen().await;
    let (_, changes) = world.fall_due(world.now().plus_ms(60_000), 5000).await;
    assert_eq!(changes.orphaned.len(), children.len());
    assert_eq!(pending_notifications(&world).await, 0);
}

#[tokio::test]
async fn ends_keep_their_order() {
    let world = World::new().await;
    let (parent, children) = family(&world, 1500, false).await;
    let newer = world.submit_one("a").await;
    settle_only(&world, vec![ended(parent, None, JobState::Succeeded)]).await;
    settle_only(&world, vec![ended(newer, None, JobState::Failed)]).await;
    let changes = world.store.follow(Changes::default()).await;
    world.check().await;
    assert_eq!(changes.released.len(), children.len());
    assert_eq!(changes.orphaned, []);
    assert_eq!(pending_notifications(&world).await, 0);
}

#[tokio::test]
async fn newer_job_replaces_a_failed_parent_of_many_children() {
    let world = World::new().await;
    let (parent, children) = family(&world, 1500, true).await;
    let newer = world.submit_one("a").await;
    let changes = world.deliver(parent, JobState::Failed).await;
    assert_eq!((changes.released, changes.orphaned), (vec![], vec![]));
    let changes = world.succeed(newer).await;
    assert_eq!(changes.released.len(), children.len());
}
