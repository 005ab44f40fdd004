//! Limits per caller: no caller takes everything, and health is always served.

use std::future::{Future, pending};
use std::pin::Pin;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::harness::*;

fn settings() -> ApiSettings {
    ApiSettings {
        sync_wait_ms: 0,
        ..ApiSettings::default()
    }
}

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
        assert_eq!(host.get(path).await.status, status, "{path}");
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
    let path = format!("/v1/executions/{}", execution["id"].as_str().unwrap());
    type Polling<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;
    let poll = || -> Polling<'_> {
        Box::pin(host.call_as(&submitter, "GET", &path, &[("prefer", "wait=60")], None))
    };
    let (refused, waiting) = match select(poll(), poll()).await {
        Either::Left(ended) | Either::Right(ended) => ended,
    };
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.header("preference-applied")
        ),
        (200, ""),
        "answered as if it had not asked"
    );
    assert_eq!(
        host.state.requests.available_permits(),
        2,
        "the one that waits holds none"
    );
    // Keys that are bound to one subscription are one caller, and a submission waits no more than a
    // poll; another key is another.
    let sibling = key(&host.state, Role::Submit, Some("acme")).await;
    let more = host
        .call_as(
            &sibling,
            "POST",
            "/v1/jobs",
            &[("prefer", "wait=60")],
            Some(job("2")),
        )
        .await;
    assert_eq!(
        (more.status.as_u16(), more.header("preference-applied")),
        (202, "")
    );
    let second = format!("/v1/executions/{}", more.json()["id"].as_str().unwrap());
    assert_eq!(
        host.call("POST", &format!("{second}:cancel"), &[], None)
            .await
            .status,
        200
    );
    let own = host.call("GET", &path, &[("prefer", "wait=1")], None).await;
    assert_eq!(
        own.header("preference-applied"),
        "wait=1",
        "another caller waits"
    );
    assert_eq!(
        host.call("POST", &format!("{path}:cancel"), &[], None)
            .await
            .status,
        200
    );
    let waited = waiting.await;
    assert_eq!(
        (waited.header("preference-applied"), &waited.json()["done"]),
        ("wait=60", &json!(true))
    );
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
    let request = Request::post("/v1/bulk").header("authorization", format!("Bearer {slow}"));
    let request = request
        .header("content-type", "application/x-ndjson")
        .body(body)
        .unwrap();
    let receiving = tokio::spawn(host.router.clone().oneshot(request));
    is_read.await.unwrap();
    let refused = host
        .call_as(&slow, "POST", "/v1/jobs", &[], Some(job("1")))
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (429, "too_many_submissions_of_key")
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("api.receive_per_key"),
        "{}",
        refused.text
    );
    assert_eq!(
        host.post("/v1/jobs", job("1")).await.status,
        202,
        "nobody else is kept out"
    );
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
    let request = Request::post("/v1/jobs").header("authorization", format!("Bearer {slow}"));
    let receiving = tokio::spawn(
        host.router.clone().oneshot(
            request
                .header("content-type", "application/json")
                .body(body)
                .unwrap(),
        ),
    );
    is_read.await.unwrap();
    let refused = host
        .call_as(&slow, "GET", "/v1/executions", &[], None)
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (429, "too_many_requests_of_key")
    );
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("api.requests_per_key"),
        "{}",
        refused.text
    );
    assert_eq!(host.get("/v1/executions").await.status, 200);
    receiving.abort();
    receiving.await.unwrap_err();
    assert_eq!(
        host.call_as(&slow, "GET", "/v1/executions", &[], None)
            .await
            .status,
        200,
        "who leaves gives the place back"
    );
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
    let execution = host
        .post(
            "/v1/bulk",
            json!({"defaults": defaults, "jobs": [{"object_ids": ids}]}),
        )
        .await
        .json();
    let path = format!("/v1/executions/{}/jobs", execution["id"].as_str().unwrap());
    let request = Request::get(&path)
        .header("authorization", format!("Bearer {reader}"))
        .header("accept", "application/x-ndjson");
    let answer = host
        .router
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        host.call_as(&reader, "GET", &path, &[], None)
            .await
            .problem(),
        "too_many_requests_of_key",
        "more than a step is left of it"
    );
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 600);
    assert_eq!(
        host.call_as(&reader, "GET", &path, &[], None).await.status,
        200
    );
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
        let answer = host.call_as(key, "GET", path, &[], None).await;
        let said = format!("\"default\";r={left};t={}", (3 - left) * 1200);
        assert_eq!(
            (answer.status.as_u16(), answer.header("ratelimit-policy")),
            (200, "\"default\";q=3;w=3600")
        );
        assert_eq!(
            answer.header("ratelimit"),
            said,
            "keys of one subscription are one caller"
        );
    }
    let refused = host.call_as(&keys[0], "GET", path, &[], None).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (429, "quota_exceeded")
    );
    assert_eq!(
        (refused.header("retry-after"), refused.header("ratelimit")),
        ("1200", "\"default\";r=0;t=3600")
    );
    assert!(
        refused.text.contains("api.quota_requests"),
        "{}",
        refused.text
    );
    assert_eq!(
        host.get(path).await.status,
        200,
        "another caller has its own"
    );
    assert_eq!(
        host.get("/livez").await.header("ratelimit"),
        "",
        "what needs no key draws nothing"
    );
    let off = Host::with(ApiSettings {
        quota_requests: 0,
        ..settings()
    })
    .await;
    assert_eq!(
        (
            off.get(path).await.status.as_u16(),
            off.get(path).await.header("ratelimit")
        ),
        (200, "")
    );
}
