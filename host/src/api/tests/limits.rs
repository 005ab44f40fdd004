//! Limits per caller: no caller takes everything, and health is always served.

use std::future::pending;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::harness::*;

#[tokio::test]
async fn health_is_served_when_all_permits_are_taken() {
    let host = Host::with(ApiSettings {
        request_concurrency: 0,
        ..settings()
    })
    .await;
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 404),
        ("/v1/executions", 503),
    ] {
        host.get(path).await.expect(status);
    }
}

#[tokio::test]
async fn waiting_request_holds_no_request_permit_and_waits_are_bounded() {
    let host = Host::with(ApiSettings {
        request_concurrency: 2,
        requests_per_key: 2,
        waits_per_key: 1,
        ..settings()
    })
    .await;
    let submitter = key(&host.state, Role::Submit, Some("acme")).await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let at = path(&execution);
    let poll = || {
        let call = host.get(&at).by(&submitter).with("prefer", "wait=60");
        call.into_future()
    };
    let (refused, waiting) = match select(poll(), poll()).await {
        Either::Left(ended) | Either::Right(ended) => ended,
    };
    // Answered as if it had not asked.
    refused.expect(200).has_header("preference-applied", "");
    let free = host.state.requests.available_permits();
    assert_eq!(free, 2, "the one that waits holds none");
    // Keys that are bound to one subscription are one caller, and a submission waits no more than a
    // poll; another key is another.
    let sibling = key(&host.state, Role::Submit, Some("acme")).await;
    let more = host.post("/v1/jobs", job("2")).by(&sibling);
    let more = more.with("prefer", "wait=60").await;
    more.expect(202).has_header("preference-applied", "");
    let second = path(&more.json());
    host.act(&format!("{second}:cancel")).await.expect(200);
    let own = host.get(&at).with("prefer", "wait=1").await;
    // Another caller waits.
    own.has_header("preference-applied", "wait=1");
    host.act(&format!("{at}:cancel")).await.expect(200);
    let waited = waiting.await;
    waited
        .has_header("preference-applied", "wait=60")
        .shows("/done", true);
}

/// A body that tells when it is asked for, and never comes.
fn endless() -> (oneshot::Receiver<()>, Body) {
    let (begun, is_read) = oneshot::channel();
    let stream = futures_util::stream::once(async move {
        begun.send(()).ok();
        pending::<Result<Bytes, std::io::Error>>().await
    });
    (is_read, Body::from_stream(stream))
}

#[tokio::test]
async fn submissions_are_bounded_per_key() {
    let host = Host::with(ApiSettings {
        receive_per_key: 1,
        ..settings()
    })
    .await;
    let slow = key(&host.state, Role::Submit, Some("acme")).await;
    let (is_read, body) = endless();
    let receiving = tokio::spawn(host.raw("/v1/bulk", NDJSON, body).by(&slow).into_future());
    is_read.await.unwrap();
    let refused = host.post("/v1/jobs", job("1")).by(&slow).await;
    refused
        .expect(429)
        .has_code("too_many_submissions_of_key")
        .has_header("retry-after", "1")
        .names("api.receive_per_key");
    // Nobody else is kept out.
    host.post("/v1/jobs", job("1")).await.expect(202);
    receiving.abort();
}

#[tokio::test]
async fn requests_are_bounded_per_key() {
    let host = Host::with(ApiSettings {
        requests_per_key: 1,
        ..settings()
    })
    .await;
    let slow = key(&host.state, Role::Submit, Some("acme")).await;
    let (is_read, body) = endless();
    let receiving = tokio::spawn(host.raw("/v1/jobs", JSON, body).by(&slow).into_future());
    is_read.await.unwrap();
    let refused = host.get("/v1/executions").by(&slow).await;
    refused
        .expect(429)
        .has_code("too_many_requests_of_key")
        .names("api.requests_per_key");
    host.get("/v1/executions").await.expect(200);
    receiving.abort();
    receiving.await.unwrap_err();
    // Who leaves gives the place back.
    host.get("/v1/executions").by(&slow).await.expect(200);
}

#[tokio::test]
async fn stream_holds_its_permit_until_it_ends() {
    let host = Host::with(ApiSettings {
        requests_per_key: 1,
        ..settings()
    })
    .await;
    let reader = key(&host.state, Role::Read, Some("acme")).await;
    let defaults = json!({"subscription": "acme", "source": "pim", "channel": "shop-de",
        "action": "update", "object_type": "product"});
    let ids: Vec<String> = (0..600).map(|id| id.to_string()).collect();
    let body = json!({"defaults": defaults, "jobs": [{"object_ids": ids}]});
    let execution = host.post("/v1/bulk", body).await.json();
    let path = format!("{}/jobs", path(&execution));
    let request = Request::get(&path)
        .header("authorization", format!("Bearer {reader}"))
        .header("accept", NDJSON.1);
    let request = request.body(Body::empty()).unwrap();
    let answer = host.router.clone().oneshot(request).await.unwrap();
    // More than a step is left of it.
    let refused = host.get(&path).by(&reader).await;
    refused.has_code("too_many_requests_of_key");
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 600);
    host.get(&path).by(&reader).await.expect(200);
}

#[tokio::test]
async fn quota_is_counted_and_stated_per_caller() {
    let host = Host::with(ApiSettings {
        quota_requests: 3,
        quota_window_ms: 3_600_000,
        ..settings()
    })
    .await;
    let keys = [
        key(&host.state, Role::Read, Some("acme")).await,
        key(&host.state, Role::Read, Some("acme")).await,
    ];
    let path = "/v1/executions";
    for (left, key) in [(2, &keys[0]), (1, &keys[1]), (0, &keys[0])] {
        let answer = host.get(path).by(key).await;
        // Keys of one subscription are one caller.
        let said = format!("\"default\";r={left};t={}", (3 - left) * 1200);
        answer
            .expect(200)
            .has_header("ratelimit-policy", "\"default\";q=3;w=3600")
            .has_header("ratelimit", &said);
    }
    let refused = host.get(path).by(&keys[0]).await;
    refused
        .expect(429)
        .has_code("quota_exceeded")
        .has_header("retry-after", "1200")
        .has_header("ratelimit", "\"default\";r=0;t=3600")
        .names("api.quota_requests");
    // Another caller has its own.
    host.get(path).await.expect(200);
    // What needs no key draws nothing.
    host.get("/livez").await.has_header("ratelimit", "");
    let off = Host::with(ApiSettings {
        quota_requests: 0,
        ..settings()
    })
    .await;
    off.get(path).await.expect(200).has_header("ratelimit", "");
}
