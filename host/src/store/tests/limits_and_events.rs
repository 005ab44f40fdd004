//! Limits, and the bound on a job's history.

use egression_core::time::Wall;

use super::World;
use super::fixtures::event;
use crate::store::{FIRST_KEPT, StoreOptions};

#[tokio::test]
async fn closed_limit_survives_a_restart_and_only_gets_later() {
    let world = World::new().await;
    for (key, until) in [("shop", 500), ("shop", 300), ("old", 50)] {
        let closed = world.store.close_limit(key, Wall(until), "429");
        closed.await.unwrap();
    }
    let world = world.reopen().await;
    let closed = async |at| world.store.closed_limits(Wall(at)).await.unwrap();
    assert_eq!(closed(100).await, [("shop".to_owned(), Wall(500))]);
    assert_eq!(closed(500).await, []);
    assert_eq!(closed(0).await, [], "past times are dropped");
}

#[tokio::test]
async fn window_slices_are_durable() {
    let world = World::new().await;
    world.store.lease_slice("w", 1, 50, Wall(10)).await.unwrap();
    world.store.lease_slice("w", 2, 50, Wall(20)).await.unwrap();
    assert!(
        world.store.lease_slice("w", 2, 50, Wall(20)).await.is_err(),
        "leased already"
    );
    world.store.close_slice("w", 1, Wall(15)).await.unwrap();
    world.store.close_slice("w", 1, Wall(99)).await.unwrap();
    let world = world.reopen().await;
    let expected = [
        ("w".to_owned(), 1, 50, Wall(10), Some(Wall(15))),
        ("w".to_owned(), 2, 50, Wall(20), None),
    ];
    assert_eq!(world.store.slices().await.unwrap(), expected);
    world.store.drop_slices("w", Wall(16)).await.unwrap();
    assert_eq!(
        world.store.slices().await.unwrap(),
        expected[1..],
        "an open slice is kept"
    );
}

#[tokio::test]
async fn history_keeps_its_beginning_and_its_end() {
    let bound = StoreOptions::default().events_per_job;
    let world = World::new().await;
    let [long, short] = world.submit_each(["a", "b"]).await;
    let numbers = async |job| {
        let stages = world.stages(job).await;
        stages.iter().map(|(seq, _)| *seq).collect::<Vec<_>>()
    };
    // The bound includes the line that is not stored.
    world
        .add_events(long, vec![event("sent"); bound as usize - 1])
        .await;
    world.add_events(short, vec![event("sent"); 3]).await;
    assert_eq!(numbers(long).await, (1..=bound).collect::<Vec<_>>());
    for more in [1, 7, 700] {
        world.add_events(long, vec![event("looked at"); more]).await;
    }
    let last = bound + 708;
    let kept = (1..=FIRST_KEPT)
        .chain(last - (bound - FIRST_KEPT) + 1..=last)
        .collect::<Vec<_>>();
    assert_eq!(numbers(long).await, kept);
    assert_eq!(kept.len(), bound as usize);
    assert_eq!(
        numbers(short).await,
        [1, 2, 3, 4],
        "other jobs keep their history"
    );
}
