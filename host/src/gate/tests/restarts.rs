//! Closed limits and used windows across restarts.

use egression_core::scheduler::limits::LimitKind;

use super::server::{Reply, Server};
use super::*;
use crate::gate::exchange::SendError;

#[tokio::test]
async fn throttle_closes_for_all_calls_and_survives_a_restart() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let owner = limited(destination(&[&server.url("")]), &[SLOTS]);
    let gate = house.gate(vec![owner.clone()]).await;
    open(&gate, OWNER)
        .send(get(&server.url("/")))
        .await
        .unwrap();
    let until = house.clock.wall().plus_ms(3_600_000);
    gate.throttle(OWNER, Some("bucket-0"), until, "429")
        .await
        .unwrap();
    gate.throttle(OWNER, None, until.plus_ms(1000), "429")
        .await
        .unwrap();
    assert_eq!(
        gate.headroom(OWNER).until.map(|(key, _)| key).as_deref(),
        Some("connection:7")
    );
    for gate in [gate, house.gate(vec![owner]).await] {
        let result = open(&gate, OWNER).send(get(&server.url("/"))).await;
        let Err(SendError::Limited { until: closed, key }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(key, OWNER.to_string());
        assert!(closed.since_ms(until).abs() <= 1002, "{closed:?} {until:?}");
    }
    let closed = house.store.closed_limits(house.clock.wall()).await.unwrap();
    assert_eq!(closed.len(), 2);
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn window_uses_survive_a_restart_and_open_slices_are_forfeit() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let owner = limited(
        destination(&[&server.url("")]),
        &[LimitKind::Window {
            max: 10,
            window_ms: 3_600_000,
        }],
    );
    let call = house.call(owner.clone()).await;
    for _ in 0..3 {
        call.send(get(&server.url("/"))).await.unwrap();
    }
    let gate = house.gate(vec![owner]).await;
    let rows = house.store.slices().await.unwrap();
    assert!((3..=4).contains(&rows.len()), "{rows:?}");
    assert!(rows.iter().all(|row| row.4.is_some()));
    let left = 10 - u32::try_from(rows.len()).unwrap();
    assert_eq!(gate.headroom(OWNER).calls, left);
    let call = gate.open_call(
        gate.destination(OWNER).unwrap(),
        2,
        house.clock.mono().plus_ms(20_000),
        1,
    );
    for _ in 0..left {
        call.send(get(&server.url("/"))).await.unwrap();
    }
    assert!(matches!(
        call.send(get(&server.url("/"))).await,
        Err(SendError::Limited { .. })
    ));
}

#[tokio::test]
async fn request_is_not_sent_if_its_use_is_not_stored() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let gate = house
        .gate(vec![limited(
            destination(&[&server.url("")]),
            &[LimitKind::Window {
                max: 10,
                window_ms: 1000,
            }],
        )])
        .await;
    // The store refuses a number that is leased already. The gate tries the next one after a rest:
    // at most four numbers before the deadline.
    for slice in 0..6 {
        let now = house.clock.wall();
        house
            .store
            .lease_slice("limit:0", slice, 1, now)
            .await
            .unwrap();
    }
    let short = gate.open_call(
        gate.destination(OWNER).unwrap(),
        1,
        house.clock.mono().plus_ms(300),
        1,
    );
    let result = short.send(get(&server.url("/"))).await;
    assert!(
        matches!(&result, Err(SendError::Unrecorded { why, .. }) if why.contains("UNIQUE")),
        "{result:?}"
    );
    let end = short.exchanges()[0].end;
    assert!(!end.blames_destination(), "{end:?}");
    assert_eq!(server.hits(), 0);
    open(&gate, OWNER)
        .send(get(&server.url("/")))
        .await
        .unwrap();
}

#[tokio::test]
async fn restored_use_counts_from_its_possible_arrival() {
    const WINDOW_MS: u64 = 600_000;
    let mut house = House::new().await;
    house.settings.reach_guard_ms = 60_000;
    let owner = limited(
        destination(&[]),
        &[LimitKind::Window {
            max: 1,
            window_ms: WINDOW_MS,
        }],
    );
    let drawn = house.clock.wall().plus_ms(-300_000);
    house
        .store
        .lease_slice("limit:0", 0, 1, drawn)
        .await
        .unwrap();
    house.store.close_slice("limit:0", 0, drawn).await.unwrap();
    let gate = house.gate(vec![owner]).await;
    let (_, until) = gate.headroom(OWNER).until.unwrap();
    let again_ms = until.since_ms(house.clock.mono());
    assert!(
        (350_000..=361_000).contains(&again_ms),
        "{again_ms}: the window and the guard from the draw on"
    );
}

#[tokio::test]
async fn observed_closure_survives_a_restart() {
    let house = House::new().await;
    let call = house.call(destination(&["https://shop.example"])).await;
    for reset_ms in [600_000, 600_010, 1000] {
        call.observe(None, None, Some(0), Some(reset_ms));
    }
    // The closure is on its way to the store, which keeps the order of writes.
    tokio::task::yield_now().await;
    let again = house
        .gate(vec![destination(&["https://shop.example"])])
        .await;
    assert_eq!(again.headroom(OWNER).calls, 0);
}

#[tokio::test]
async fn fixed_window_opens_at_its_anchor_and_survives_a_restart() {
    const DAY_MS: i64 = 86_400_000;
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    // It began 23 hours ago.
    let anchor = house.clock.wall().plus_ms(-23 * 3_600_000 - 5 * DAY_MS);
    let kind = LimitKind::FixedWindow {
        max: 3,
        window_ms: DAY_MS.unsigned_abs(),
        anchor,
    };
    let owner = limited(destination(&[&server.url("")]), &[kind]);
    let gate = house.gate(vec![owner.clone()]).await;
    for _ in 0..3 {
        open(&gate, OWNER)
            .send(get(&server.url("/")))
            .await
            .unwrap();
    }
    let opens = anchor.plus_ms(6 * DAY_MS + 50);
    for gate in [gate, house.gate(vec![owner]).await] {
        let result = open(&gate, OWNER).send(get(&server.url("/"))).await;
        let Err(SendError::Limited { until, key }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(key, "limit:0");
        assert!(until.since_ms(opens).abs() <= 2000, "{until:?} {opens:?}");
    }
    assert_eq!(server.hits(), 3);
}
