//! Limits as facts.

use egression_core::time::Wall;

use super::World;

#[tokio::test]
async fn a_closed_limit_stays_closed_over_a_restart_and_only_gets_later() {
    let world = World::new().await;
    world.store.close_limit("shop", Wall(500), "429").await.unwrap();
    world.store.close_limit("shop", Wall(300), "429").await.unwrap();
    world.store.close_limit("old", Wall(50), "429").await.unwrap();
    let world = world.reopen().await;
    assert_eq!(world.store.closed_limits(Wall(100)).await.unwrap(), [("shop".to_owned(), Wall(500))]);
    assert!(world.store.closed_limits(Wall(500)).await.unwrap().is_empty());
    assert!(world.store.closed_limits(Wall(0)).await.unwrap().is_empty(), "facts of the past are dropped");
}

#[tokio::test]
async fn slices_of_a_window_are_durable() {
    let world = World::new().await;
    world.store.lease_slice("w", 1, 50, Wall(10)).await.unwrap();
    world.store.lease_slice("w", 2, 50, Wall(20)).await.unwrap();
    assert!(world.store.lease_slice("w", 2, 50, Wall(20)).await.is_err(), "leased already");
    world.store.close_slice("w", 1, Wall(15)).await.unwrap();
    world.store.close_slice("w", 1, Wall(99)).await.unwrap();
    let world = world.reopen().await;
    let expected = [("w".to_owned(), 1, 50, Wall(10), Some(Wall(15))), ("w".to_owned(), 2, 50, Wall(20), None)];
    assert_eq!(world.store.slices().await.unwrap(), expected);
    world.store.drop_slices("w", Wall(16)).await.unwrap();
    assert_eq!(world.store.slices().await.unwrap(), expected[1..], "an open slice is kept");
}
