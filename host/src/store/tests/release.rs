//! The release of more children than one transaction notifies.

use egression_core::domain::ids::{ExecutionSeq, JobSeq};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;

use super::{World, ended, execution, job, waits_for};
use crate::store::dependencies::release::AT_ONCE;
use crate::store::lifecycle::settlement;
use crate::store::lifecycle::transition::JobChanges;
use crate::store::rows::{Changes, Settlement, StagedItem};

const LATER: Wall = Wall(i64::MAX);

/// The object `a`'s job is number 0, all others wait for it, each for the job or for the object.
async fn family(
    world: &World,
    children: u32,
    parent: fn(ExecutionSeq) -> Option<JobSeq>,
) -> (JobSeq, Vec<JobSeq>) {
    let seq = world.store.begin_execution(execution()).await.unwrap();
    let names: Vec<_> = (0..=children)
        .map(|index| {
            if index == 0 {
                "a".to_owned()
            } else {
                format!("c{index}")
            }
        })
        .collect();
    let items: Vec<_> = (0..)
        .zip(&names)
        .map(|(index, name)| StagedItem::Job(job(index, name)))
        .collect();
    for chunk in items.chunks(1000) {
        world.store.stage(seq, chunk.to_vec()).await.unwrap();
    }
    world.store.seal(seq, None).await.unwrap();
    let children: Vec<_> = (1..=children).map(|index| seq.job(index)).collect();
    for chunk in children.chunks(1000) {
        world
            .settle(
                chunk
                    .iter()
                    .map(|child| waits_for(*child, None, &[("a", parent(seq))], LATER))
                    .collect(),
            )
            .await;
    }
    (seq.job(0), children)
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
    world.store.heads(children).await.unwrap().len()
}

async fn pending_notifications(world: &World) -> i64 {
    let count = "SELECT count(*) FROM pending_notification";
    world
        .store
        .read(move |conn| {
            Box::pin(async move { Ok(sqlx::query_scalar(count).fetch_one(conn).await?) })
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn release_notifies_more_children_than_one_transaction_takes() {
    let world = World::new().await;
    let (parent, children) = family(&world, 2500, |seq| Some(seq.job(0))).await;
    world.send(1, &[parent]).await;
    let changes = world
        .settle(vec![ended(parent, Some(1), JobState::Succeeded)])
        .await;
    assert_eq!(
        (
            changes.released.len(),
            changes.orphaned.len(),
            ready(&world, &children).await
        ),
        (2500, 0, 2500)
    );
    assert_eq!(pending_notifications(&world).await, 0);
}

#[tokio::test]
async fn release_continues_after_a_restart() {
    let world = World::new().await;
    let (parent, children) = family(&world, 2500, |seq| Some(seq.job(0))).await;
    world.send(1, &[parent]).await;
    let changes = settle_only(&world, vec![ended(parent, Some(1), JobState::Succeeded)]).await;
    assert!(
        changes.released.len() <= AT_ONCE,
        "a transaction notifies at most this many: {}",
        changes.released.len()
    );
    assert_eq!(
        (
            ready(&world, &children).await,
            pending_notifications(&world).await
        ),
        (changes.released.len(), 1)
    );
    let world = world.reopen().await;
    world.check().await;
    assert_eq!(
        (
            ready(&world, &children).await,
            pending_notifications(&world).await
        ),
        (2500, 0)
    );
}

#[tokio::test]
async fn orphans_fall_due_if_nobody_settles_them() {
    let world = World::new().await;
    let (parent, children) = family(&world, 1500, |seq| Some(seq.job(0))).await;
    settle_only(&world, vec![ended(parent, None, JobState::Failed)]).await;
    let world = world.reopen().await;
    let (_, changes) = world
        .store
        .fall_due(world.now().plus_ms(60_000), 5000)
        .await
        .unwrap();
    world.check().await;
    assert_eq!(
        (changes.orphaned.len(), pending_notifications(&world).await),
        (children.len(), 0)
    );
}

#[tokio::test]
async fn ends_keep_their_order() {
    let world = World::new().await;
    // They wait for the object, from any job.
    let (parent, children) = family(&world, 1500, |_| None).await;
    let newer = world.submit(vec![job(0, "a")]).await.execution.job(0);
    settle_only(&world, vec![ended(parent, None, JobState::Succeeded)]).await;
    settle_only(&world, vec![ended(newer, None, JobState::Failed)]).await;
    let changes = world.store.follow(Changes::default()).await;
    world.check().await;
    assert_eq!(
        (
            changes.released.len(),
            changes.orphaned.len(),
            pending_notifications(&world).await
        ),
        (children.len(), 0, 0)
    );
}

#[tokio::test]
async fn newer_job_replaces_a_failed_parent_of_many_children() {
    let world = World::new().await;
    let (parent, children) = family(&world, 1500, |seq| Some(seq.job(0))).await;
    let newer = world.submit(vec![job(0, "a")]).await.execution.job(0);
    world.send(1, &[parent]).await;
    let changes = world
        .settle(vec![ended(parent, Some(1), JobState::Failed)])
        .await;
    assert_eq!((changes.released.len(), changes.orphaned.len()), (0, 0));
    assert_eq!(
        world
            .deliver(newer, JobState::Succeeded)
            .await
            .released
            .len(),
        children.len()
    );
}
