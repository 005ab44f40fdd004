//! Limits as the destination sees them.

use std::sync::Mutex;

use egression_core::scheduler::limits::LimitKind;
use egression_core::time::Mono;

use super::server::{Reply, Seen, Server};
use super::*;
use crate::gate::exchange::SendError;

const SLOTS: LimitKind = LimitKind::Concurrency { max: 8 };

/// No stretch of time holds more than a bucket's `rate · w + burst`.
fn keeps_bucket(seen: &[Seen], rate_per_s: u64, burst: u64) {
    for i in 0..seen.len() {
        for j in i..seen.len() {
            let us = seen[j].at.since_us(seen[i].at);
            let allowed = rate_per_s * us / 1_000_000 + burst;
            assert!(
                (j - i + 1) as u64 <= allowed.max(1),
                "{} requests in {us} µs",
                j - i + 1
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_keep_every_limit_as_the_destination_counts() {
    let mut house = House::new().await;
    // A busy machine delays arrivals by more than a network does; the guard is what covers that.
    house.settings.edge_guard_ms = 200;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let bucket = LimitKind::TokenBucket {
        rate: 200,
        per_ms: 1000,
        burst: 60,
    };
    let window = LimitKind::Window {
        max: 60,
        window_ms: 250,
    };
    let gate = house
        .gate(vec![limited(
            destination(&[&server.url("")]),
            &[bucket, window, SLOTS],
        )])
        .await;
    let call = open(&gate, OWNER);
    let sends = (0..200).map(|_| {
        let (call, request) = (call.clone(), get(&server.url("/")));
        tokio::spawn(async move { call.send(request).await })
    });
    for sent in sends.collect::<Vec<_>>() {
        sent.await.unwrap().unwrap();
    }
    let mut seen = server.seen();
    seen.sort_by_key(|s| s.at);
    assert_eq!(seen.len(), 200);
    keeps_bucket(&seen, 200, 60);
    for pair in seen.windows(61) {
        assert!(
            pair[60].at.since_us(pair[0].at) > 250_000,
            "61 requests in one window"
        );
    }
    assert!(seen.iter().all(|s| s.under_way <= 8));
    // Every use was leased before; at most two slices are ahead.
    let slices = house.store.slices().await.unwrap();
    let leased: u32 = slices.iter().map(|row| row.2).sum();
    assert!((200..=204).contains(&leased), "{leased}");
    assert_eq!(gate.usage(OWNER).unwrap().requests, 200);
}

#[tokio::test]
async fn a_limit_without_room_before_the_deadline_answers_until_when() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let bucket = LimitKind::TokenBucket {
        rate: 1,
        per_ms: 3_600_000,
        burst: 1,
    };
    let call = house
        .call(limited(destination(&[&server.url("")]), &[bucket]))
        .await;
    let result = call.send(get(&server.url("/"))).await;
    let Err(SendError::Limited { until, key }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(key, "limit:0");
    assert!(until.since_ms(house.clock.wall()) > 3_000_000);
    assert_eq!(server.hits(), 0);
    assert!(!call.evidence().anything_left);
}

#[tokio::test]
async fn a_throttle_closes_for_all_calls_and_outlives_a_restart() {
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
        Some(OWNER)
    );
    for gate in [gate, house.gate(vec![owner]).await] {
        let result = open(&gate, OWNER).send(get(&server.url("/"))).await;
        let Err(SendError::Limited { until: closed, key }) = result else {
            panic!("{result:?}")
        };
        assert_eq!(key, OWNER);
        assert!(closed.since_ms(until).abs() <= 1002, "{closed:?} {until:?}");
    }
    let closed = house.store.closed_limits(house.clock.wall()).await.unwrap();
    assert_eq!(closed.len(), 2);
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn uses_of_a_window_outlive_a_restart_and_open_slices_are_forfeit() {
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
async fn nothing_is_sent_that_the_store_did_not_note() {
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
async fn headroom_leaves_out_what_is_set_aside_and_gets_it_back() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let gate = house
        .gate(vec![limited(destination(&[&server.url("")]), &[SLOTS])])
        .await;
    assert_eq!(gate.headroom(OWNER).calls, 8);
    gate.reserve(OWNER, 5);
    assert_eq!(gate.headroom(OWNER).calls, 3);
    let call = gate.open_call(
        gate.destination(OWNER).unwrap(),
        1,
        house.clock.mono().plus_ms(LONG_MS),
        5,
    );
    assert_eq!(gate.headroom(OWNER).calls, 3);
    call.send(get(&server.url("/"))).await.unwrap();
    assert_eq!(gate.headroom(OWNER).calls, 4);
    call.close();
    assert_eq!(gate.headroom(OWNER).calls, 8);
    gate.headroom_changed().notified().await;
    gate.reserve(OWNER, 8);
    assert_eq!(
        gate.headroom(OWNER),
        Headroom {
            calls: 0,
            until: Some(("limit:0".to_owned(), Mono::FAR))
        }
    );
    gate.unreserve(OWNER, 8);
    drop(gate.open_call(
        gate.destination(OWNER).unwrap(),
        2,
        house.clock.mono().plus_ms(LONG_MS),
        8,
    ));
    assert_eq!(gate.headroom(OWNER).calls, 8);
    assert_eq!(gate.headroom("connection:99").calls, 0);
}

#[tokio::test]
async fn a_limit_that_is_all_set_aside_is_named_with_the_time_at_which_it_has_more() {
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
async fn a_slot_is_held_to_the_answers_end_and_then_taken_by_the_next_in_line() {
    let house = House::new().await;
    let gone = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&gone);
    let server = Server::start(&house.clock, move |_| {
        *counted.lock().unwrap() += 1;
        Reply::ok("")
    })
    .await;
    let call = house
        .call(limited(
            destination(&[&server.url("")]),
            &[LimitKind::Concurrency { max: 1 }],
        ))
        .await;
    let answers = call
        .send_all(
            (0..20)
                .map(|i| get(&server.url(&format!("/{i}"))))
                .collect(),
        )
        .await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(server.seen().iter().all(|seen| seen.under_way == 1));
    assert_eq!(*gone.lock().unwrap(), 20);
}

#[tokio::test]
async fn limits_of_an_operation_bind_only_that_operation() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let mut owner = limited(
        destination(&[&server.url("")]),
        &[LimitKind::Window {
            max: 1,
            window_ms: 3_600_000,
        }],
    );
    owner.limits[0].operations = vec!["bulk".to_owned()];
    let call = house.call(owner).await;
    let bulk = || OutgoingRequest {
        operation: Some("bulk".to_owned()),
        ..get(&server.url("/"))
    };
    call.send(bulk()).await.unwrap();
    assert!(matches!(
        call.send(bulk()).await,
        Err(SendError::Limited { .. })
    ));
    call.send(get(&server.url("/"))).await.unwrap();
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn an_observation_tightens() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let call = house
        .call(limited(
            destination(&[&server.url("")]),
            &[LimitKind::Window {
                max: 100,
                window_ms: 600_000,
            }],
        ))
        .await;
    call.observe(Some("bucket-0"), None, Some(0), Some(600_000));
    assert!(matches!(
        call.send(get(&server.url("/"))).await,
        Err(SendError::Limited { .. })
    ));
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn what_was_set_aside_for_an_owner_that_goes_is_free_for_those_who_stay() {
    let house = House::new().await;
    let of = |owner: &str| Destination {
        owner: owner.to_owned(),
        own_key: LimitKey::new(owner),
        ..limited(destination(&[]), &[SLOTS])
    };
    let gate = house.gate(vec![of(OWNER), of("connection:8")]).await;
    gate.reserve("connection:8", 5);
    assert_eq!(gate.headroom(OWNER).calls, 3);
    gate.configure(vec![of(OWNER)]);
    assert_eq!(gate.headroom(OWNER).calls, 8);
    // What it still hands back belongs to nobody.
    gate.unreserve("connection:8", 5);
    assert_eq!(gate.headroom(OWNER).calls, 8);
}

#[tokio::test]
async fn a_throttle_closes_every_limit_of_its_name() {
    let house = House::new().await;
    let mut owner = limited(destination(&[]), &[SLOTS, SLOTS, SLOTS]);
    owner.limits[1].name = owner.limits[0].name.clone();
    let gate = house.gate(vec![owner]).await;
    gate.throttle(
        OWNER,
        Some("bucket-0"),
        house.clock.wall().plus_ms(3_600_000),
        "429",
    )
    .await
    .unwrap();
    let closed = house.store.closed_limits(house.clock.wall()).await.unwrap();
    let keys: Vec<&str> = closed.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["limit:0", "limit:1"]);
}

#[tokio::test]
async fn a_restored_use_counts_from_when_it_may_have_arrived() {
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
async fn what_an_observation_closes_stays_closed_over_a_restart() {
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

/// A request that costs so many points. The destination reads them in the path.
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
async fn what_requests_cost_keeps_the_limit_that_counts_it() {
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
async fn a_cost_beyond_all_that_a_limit_admits_is_denied() {
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
    assert!(
        matches!(&result, Err(SendError::TooCostly(why)) if why.contains("costs 101") && why.contains("at most 100")),
        "{result:?}"
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
    assert!(
        matches!(call.send(twice).await, Err(SendError::Denied(why)) if why.contains("stated twice"))
    );
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn admission_reckons_with_what_requests_cost_of_late() {
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
async fn a_limit_that_is_smaller_than_what_requests_cost_of_late_is_tried_all_the_same() {
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
async fn nothing_is_leased_for_a_request_that_has_no_room() {
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
async fn who_needs_many_units_of_a_shared_limit_is_not_overtaken_for_ever() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let bucket = LimitKind::TokenBucket {
        rate: 200,
        per_ms: 1000,
        burst: 100,
    };
    let of = |owner: &str| Destination {
        owner: owner.to_owned(),
        own_key: LimitKey::new(owner),
        ..costing(
            limited(destination(&[&server.url("")]), &[bucket]),
            "points",
        )
    };
    let gate = house.gate(vec![of(OWNER), of("connection:8")]).await;
    // One of them sends without end, one by one.
    let cheap = open(&gate, "connection:8");
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

#[tokio::test]
async fn a_fixed_window_opens_where_its_anchor_says_and_outlives_a_restart() {
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
