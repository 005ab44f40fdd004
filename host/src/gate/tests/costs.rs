//! Limits that count points instead of requests.

use egression_core::scheduler::limits::LimitKind;
use egression_core::time::Mono;

use super::server::{Reply, Seen, Server};
use super::*;
use crate::gate::exchange::SendError;

fn costing(owner: Destination, counts: &str) -> Destination {
    let limits = owner
        .limits
        .into_iter()
        .map(|limit| BoundLimit {
            counts: Some(counts.to_owned()),
            ..limit
        })
        .collect();
    Destination { limits, ..owner }
}

/// A request that costs this number of points, which the destination reads from the path.
fn points(server: &Server, units: u32) -> OutgoingRequest {
    let costs = vec![Cost {
        name: "points".to_owned(),
        units,
    }];
    OutgoingRequest {
        costs,
        ..get(&server.url(&format!("/{units}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_keep_the_limit_that_counts_them() {
    let mut house = House::new().await;
    house.settings.edge_guard_ms = 200;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let bucket = LimitKind::TokenBucket {
        rate: 1000,
        per_ms: 1000,
        burst: 400,
    };
    let window = LimitKind::Window {
        max: 600,
        window_ms: 500,
    };
    let mut owner = costing(
        limited(destination(&[&server.url("")]), &[bucket, window]),
        "points",
    );
    // What is on its way and one request more are never above the burst.
    owner.limits.extend(
        limited(destination(&[]), &[LimitKind::Concurrency { max: 2 }])
            .limits
            .into_iter()
            .map(|limit| BoundLimit {
                key: LimitKey::new("slots"),
                ..limit
            }),
    );
    let gate = house.gate(vec![owner]).await;
    let call = open(&gate, OWNER);
    let costs: Vec<u32> = (0..60).map(|i| [1, 10, 40, 60, 90, 120][i % 6]).collect();
    let sends = costs.iter().map(|&units| {
        let (call, request) = (call.clone(), points(&server, units));
        tokio::spawn(async move { call.send(request).await })
    });
    for sent in sends.collect::<Vec<_>>() {
        sent.await.unwrap().unwrap();
    }
    let mut seen: Vec<(Mono, u64)> = server.seen().iter().map(|s| (s.at, units_in(s))).collect();
    seen.sort_unstable();
    assert_eq!(
        seen.iter().map(|(_, units)| units).sum::<u64>(),
        costs.iter().map(|units| u64::from(*units)).sum::<u64>()
    );
    for i in 0..seen.len() {
        let mut units = 0;
        for j in i..seen.len() {
            units += seen[j].1;
            let us = seen[j].0.since_us(seen[i].0);
            assert!(units <= us / 1000 + 400, "{units} points in {us} µs");
            assert!(
                units <= 600 || us > 500_000,
                "{units} points in one window, {us} µs"
            );
        }
    }
    let usage = gate.usage(OWNER).unwrap();
    assert_eq!(usage.requests, 60);
}

fn units_in(seen: &Seen) -> u64 {
    seen.line
        .split('/')
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn cost_above_the_limits_maximum_is_denied() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let kind = LimitKind::Window {
        max: 100,
        window_ms: 3_600_000,
    };
    let call = house
        .call(costing(
            limited(destination(&[&server.url("")]), &[kind]),
            "points",
        ))
        .await;
    let result = call.send(points(&server, 101)).await;
    let Err(SendError::TooCostly(why)) = &result else {
        panic!("{result:?}");
    };
    assert!(
        why.contains("costs 101") && why.contains("at most 100"),
        "{why}"
    );
    call.send(points(&server, 100)).await.unwrap();
    assert!(
        matches!(
            call.send(get(&server.url("/1"))).await,
            Err(SendError::Limited { .. })
        ),
        "a cost that is not stated is 1"
    );
    let twice = OutgoingRequest {
        costs: [points(&server, 1).costs, points(&server, 2).costs].concat(),
        ..get(&server.url("/1"))
    };
    assert!(matches!(call.send(twice).await,
            Err(SendError::Denied(why)) if why.contains("stated twice")));
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn headroom_uses_recent_costs() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let kind = LimitKind::Window {
        max: 100,
        window_ms: 3_600_000,
    };
    let gate = house
        .gate(vec![costing(
            limited(destination(&[&server.url("")]), &[kind]),
            "points",
        )])
        .await;
    assert_eq!(gate.headroom(OWNER).calls, 100);
    open(&gate, OWNER).send(points(&server, 20)).await.unwrap();
    assert_eq!(gate.headroom(OWNER).calls, 4);
    gate.reserve(OWNER, 3);
    assert_eq!(gate.headroom(OWNER).calls, 1);
    gate.unreserve(OWNER, 3);
    open(&gate, OWNER).send(points(&server, 70)).await.unwrap();
    let left = gate.headroom(OWNER);
    assert_eq!(left.calls, 0, "ten points are left, and requests cost more");
    assert_eq!(left.until.unwrap().0, "limit:0");
}

#[tokio::test]
async fn headroom_admits_one_request_if_recent_costs_exceed_the_limit() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let of = |max| {
        costing(
            limited(
                destination(&[&server.url("")]),
                &[LimitKind::Window {
                    max,
                    window_ms: 3_600_000,
                }],
            ),
            "points",
        )
    };
    let gate = house.gate(vec![of(100)]).await;
    assert!(matches!(
        open(&gate, OWNER).send(points(&server, 101)).await,
        Err(SendError::TooCostly(_))
    ));
    assert_eq!(gate.headroom(OWNER).calls, 1, "101 do not fit, and 100 do");
    gate.configure(vec![of(40)]);
    assert_eq!(gate.headroom(OWNER).calls, 1, "40 do");
    open(&gate, OWNER).observe(Some("bucket-0"), Some(20), None, None);
    assert_eq!(gate.headroom(OWNER).calls, 1, "one goes alone");
}

#[tokio::test]
async fn request_without_room_leases_nothing() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let owner = costing(
        limited(
            destination(&[&server.url("")]),
            &[LimitKind::Window {
                max: 100,
                window_ms: 3_600_000,
            }],
        ),
        "points",
    );
    let call = house.call(owner).await;
    call.send(points(&server, 60)).await.unwrap();
    assert!(matches!(
        call.send(points(&server, 60)).await,
        Err(SendError::Limited { .. })
    ));
    let slices = house.store.slices().await.unwrap();
    let leased: u32 = slices.iter().map(|row| row.2).sum();
    assert!(leased <= 68, "{leased}: sixty, and a slice ahead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costly_request_is_not_starved_by_cheap_ones() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let bucket = LimitKind::TokenBucket {
        rate: 200,
        per_ms: 1000,
        burst: 100,
    };
    let of = |owner: Owner| Destination {
        owner,
        own_key: LimitKey::new(owner.to_string()),
        ..costing(
            limited(destination(&[&server.url("")]), &[bucket]),
            "points",
        )
    };
    let gate = house.gate(vec![of(OWNER), of(OTHER)]).await;
    // One of them sends without end, one by one.
    let cheap = open(&gate, OTHER);
    let url = server.url("/1");
    let stream = tokio::spawn(async move {
        let sends = (0..8).map(|_| async {
            loop {
                cheap.send(get(&url)).await.unwrap();
            }
        });
        futures_util::future::join_all(sends).await
    });
    let costly = gate.open_call(
        gate.destination(OWNER).unwrap(),
        1,
        house.clock.mono().plus_ms(20_000),
        1,
    );
    costly.send(points(&server, 60)).await.unwrap();
    costly.send(points(&server, 60)).await.unwrap();
    stream.abort();
}
