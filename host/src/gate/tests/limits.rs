//! Limits as the destination observes them.

use std::sync::Mutex;

use egression_core::scheduler::limits::LimitKind;

use super::server::{Reply, Seen, Server};
use super::*;
use crate::gate::exchange::SendError;

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
async fn concurrent_requests_keep_every_limit_at_the_destination() {
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
async fn limit_without_room_before_the_deadline_says_until_when() {
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
async fn slot_is_held_until_the_response_ends() {
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
async fn operation_limit_binds_only_that_operation() {
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
async fn observation_tightens_a_limit() {
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
async fn throttle_closes_every_limit_of_its_name() {
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
async fn check_passes_a_closed_limit_and_reopens_it() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let gate = house
        .gate(vec![limited(destination(&[&server.url("")]), &[SLOTS])])
        .await;
    let until = house.clock.wall().plus_ms(3_600_000);
    gate.throttle(OWNER, None, until, "429").await.unwrap();
    gate.throttle(OWNER, Some("bucket-0"), until, "429")
        .await
        .unwrap();
    let deadline = house.clock.mono().plus_ms(LONG_MS);
    let own = gate.destination(OWNER).unwrap();
    let check = Arc::new(own.past_closures());
    let refused = gate.open_call(Arc::clone(&own), 1, deadline, 1);
    assert!(matches!(
        refused.send(get(&server.url("/"))).await,
        Err(SendError::Limited { .. })
    ));
    let check = gate.open_call(check, 2, deadline, 1);
    check.send(get(&server.url("/"))).await.unwrap();
    assert!(gate.closed_until("limit:0").is_some());
    gate.reopen_after_check(OWNER).await.unwrap();
    gate.headroom_changed().notified().await;
    let call = gate.open_call(own, 3, deadline, 1);
    call.send(get(&server.url("/"))).await.unwrap();
    let closed = house.store.closed_limits(house.clock.wall()).await.unwrap();
    assert_eq!(closed, [], "durably");
}

#[tokio::test]
async fn reopening_wakes_a_request_that_waits_at_the_gate() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |_| Reply::ok("")).await;
    let gate = house.gate(vec![destination(&[&server.url("")])]).await;
    // Inside the call's deadline, so the request waits.
    let until = house.clock.wall().plus_ms(30_000);
    gate.throttle(OWNER, None, until, "429").await.unwrap();
    let call = open(&gate, OWNER);
    let sending = tokio::spawn({
        let (call, request) = (call.clone(), get(&server.url("/")));
        async move { call.send(request).await }
    });
    assert!(gate.reopen(&OWNER.to_string()).await.unwrap());
    sending.await.unwrap().unwrap();
    assert!(house.clock.wall() < until);
    assert!(!gate.reopen("unknown").await.unwrap());
}

#[tokio::test]
async fn shorter_bound_cuts_a_closure_and_what_a_destination_reports() {
    let house = House::new().await;
    let mut owner = destination(&[]);
    owner.max_retry_after_ms = 24 * 3_600_000;
    let gate = house.gate(vec![owner.clone()]).await;
    let key = OWNER.to_string();
    let minutes = |gate: &Gate| {
        let until = gate.closed_until(&key).unwrap();
        (until.since_ms(house.clock.wall()) + 30_000) / 60_000
    };
    open(&gate, OWNER).observe(None, None, Some(0), Some(u64::MAX));
    assert_eq!(minutes(&gate), 24 * 60);
    owner.max_retry_after_ms = 600_000;
    gate.configure(vec![owner]);
    assert_eq!(minutes(&gate), 10);
    assert!(gate.reopen(&key).await.unwrap());
    open(&gate, OWNER).observe(None, None, Some(0), Some(u64::MAX));
    assert_eq!(minutes(&gate), 10);
}
