//! Reservations and the headroom that admission sees.

use egression_core::scheduler::limits::LimitKind;
use egression_core::time::Mono;

use super::server::{Reply, Server};
use super::*;
use crate::gate::limiter::budget::Headroom;

#[tokio::test]
async fn headroom_excludes_reservations_until_they_are_returned() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let hour = LimitKind::Window {
        max: 8,
        window_ms: 3_600_000,
    };
    // Of a window, a call takes its requests; of a concurrency limit, one slot.
    for (kind, left, sent, closed) in [(hour, [3, 3], 3, 7), (SLOTS, [7, 7], 8, 8)] {
        let gate = house
            .gate(vec![limited(destination(&[&server.url("")]), &[kind])])
            .await;
        assert_eq!(gate.headroom(OWNER).calls, 8);
        gate.reserve(OWNER, 5);
        assert_eq!(gate.headroom(OWNER).calls, left[0]);
        let call = gate.open_call(
            gate.destination(OWNER).unwrap(),
            1,
            house.clock.mono().plus_ms(LONG_MS),
            5,
        );
        assert_eq!(gate.headroom(OWNER).calls, left[1]);
        call.send(get(&server.url("/"))).await.unwrap();
        assert_eq!(gate.headroom(OWNER).calls, sent);
        call.close();
        assert_eq!(gate.headroom(OWNER).calls, closed);
        gate.headroom_changed().notified().await;
    }
}

#[tokio::test]
async fn headroom_names_a_limit_without_free_slots() {
    let house = House::new().await;
    let gate = house.gate(vec![limited(destination(&[]), &[SLOTS])]).await;
    for _ in 0..8 {
        gate.reserve(OWNER, 1);
    }
    assert_eq!(
        gate.headroom(OWNER),
        Headroom {
            calls: 0,
            until: Some(("limit:0".to_owned(), Mono::FAR))
        }
    );
    for _ in 0..8 {
        gate.unreserve(OWNER, 1);
    }
    drop(gate.open_call(
        gate.destination(OWNER).unwrap(),
        2,
        house.clock.mono().plus_ms(LONG_MS),
        8,
    ));
    assert_eq!(gate.headroom(OWNER).calls, 8);
    assert_eq!(gate.headroom(Owner::Connection(ConnectionId(99))).calls, 0);
}

#[tokio::test]
async fn headroom_names_a_fully_reserved_limit_and_its_time() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let bucket = LimitKind::TokenBucket {
        rate: 10,
        per_ms: 1000,
        burst: 5,
    };
    let gate = house
        .gate(vec![limited(destination(&[&server.url("")]), &[bucket])])
        .await;
    let name = gate
        .destination(OWNER)
        .unwrap()
        .common_limits()
        .next()
        .unwrap()
        .key
        .0
        .to_string();
    // More than the horizon (300 ms) ever holds; three seconds of the rate.
    gate.reserve(OWNER, 30);
    let before = house.clock.mono();
    let (key, until) = gate.headroom(OWNER).until.unwrap();
    assert_eq!((gate.headroom(OWNER).calls, key), (0, name));
    let ahead_ms = until.since_ms(before);
    assert!((2000..=3500).contains(&ahead_ms), "{ahead_ms}");
}

#[tokio::test]
async fn reservation_of_a_removed_owner_is_freed() {
    let house = House::new().await;
    let of = |owner: Owner| Destination {
        owner,
        own_key: LimitKey::new(owner.to_string()),
        ..limited(destination(&[]), &[SLOTS])
    };
    let gate = house.gate(vec![of(OWNER), of(OTHER)]).await;
    for _ in 0..5 {
        // A call takes one slot, however many requests it sends one after the other.
        gate.reserve(OTHER, 50);
    }
    assert_eq!(gate.headroom(OWNER).calls, 3);
    gate.configure(vec![of(OWNER)]);
    assert_eq!(gate.headroom(OWNER).calls, 8);
    // What it still hands back belongs to nobody.
    gate.unreserve(OTHER, 5);
    assert_eq!(gate.headroom(OWNER).calls, 8);
}
