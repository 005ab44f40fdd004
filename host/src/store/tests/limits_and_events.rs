//! Limits, and the bound on a job's history.

use egression_core::time::Wall;

use super::{World, event, job};
use crate::store::{FIRST_KEPT, StoreOptions};

#[tokio::test]
async fn closed_limit_survives_a_restart_and_only_gets_later() {
    let world = World::new().await;
    world
        .store
        .close_limit("shop", Wall(500), "429")
        .await
        .unwrap();
    world
        .store
        .close_limit("shop", Wall(300), "429")
        .await
        .unwrap();
    world
        .store
        .close_limit("old", Wall(50), "429")
        .await
        .unwrap();
    let world = world.reopen().await;
    assert_eq!(
        world.store.closed_limits(Wall(100)).await.unwrap(),
        [("shop".to_owned(), Wall(500))]
    );
    assert!(
        world
            .store
            .closed_limits(Wall(500))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        world.store.closed_limits(Wall(0)).await.unwrap().is_empty(),
        "past times are dropped"
    );
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
    let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
    let numbers = async |job| {
        let events = world.store.events(job, 0, 5000).await.unwrap();
        events.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    // The bound includes the line that is not stored.
    world
        .add_events(seq.job(0), vec![event("sent"); bound as usize - 1])
        .await;
    world.add_events(seq.job(1), vec![event("sent"); 3]).await;
    assert_eq!(numbers(seq.job(0)).await, (1..=bound).collect::<Vec<_>>());
    let longer = [1, 7, 700];
    for more in longer {
        world
            .add_events(seq.job(0), vec![event("looked at"); more])
            .await;
    }
    let last = bound + 708;
    let kept = (1..=FIRST_KEPT)
        .chain(last - (bound - FIRST_KEPT) + 1..=last)
        .collect::<Vec<_>>();
    assert_eq!(numbers(seq.job(0)).await, kept);
    assert_eq!(kept.len(), bound as usize);
    assert_eq!(
        numbers(seq.job(1)).await,
        [1, 2, 3, 4],
        "other jobs keep their history"
    );
}
