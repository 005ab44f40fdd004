//! Misbehaviour on request.

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::counter::{Counter, answer, category, code, send};

#[tokio::test]
async fn a_dropped_answer_is_a_lost_connection() {
    let counter = Counter::start("faults = { drop_after_write = 1 }").await;
    let put = |key: &str| {
        let request = counter.request(Method::PUT, "/v1/category/a");
        request.header("idempotency-key", key).json(&category("a"))
    };
    let lost = put("k").send().await.unwrap_err();
    assert!(
        lost.is_request() && !lost.is_timeout() && lost.status().is_none(),
        "{lost:?}"
    );
    // It was applied; the repeat is answered, because a replay applies nothing.
    assert_eq!(counter.get("/v1/category/a").await.1["version"], "1");
    assert_eq!(answer(put("k")).await.0, 201);

    let items = json!([
        {"id": "b", "action": "upsert", "body": category("b")},
        {"id": "c", "action": "delete"},
    ]);
    let batch = counter.request(Method::POST, "/v1/category/batch");
    batch
        .json(&json!({ "items": items }))
        .send()
        .await
        .unwrap_err();
    let report = counter.report();
    assert_eq!((report.dropped_calls, report.dropped_items), (2, 3));
    assert_eq!((report.by_status[&0], report.repeated_same_key), (2, 1));
    assert_eq!(report.objects["category"], 2);
    let calls = counter.lines("calls").await;
    assert_eq!(
        (&calls[1]["end"], &calls[1]["status"]),
        (&json!("dropped"), &json!(0))
    );
}

#[tokio::test]
async fn a_dropped_connection_carries_no_byte_of_an_answer() {
    let counter = Counter::start("faults = { drop_after_write = 1 }").await;
    let body = category("a").to_string();
    let mut tcp = counter
        .send_raw("PUT /v1/category/a", body.len(), &body)
        .await;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty(), "{answer:?}");
    assert_eq!(counter.report().objects["category"], 1);
    // What refuses is not dropped.
    assert_eq!(counter.put("/v1/category/b", &json!({})).await.0, 400);
    assert_eq!(counter.get("/v1/category/a").await.0, 200);
}

#[tokio::test]
async fn a_503_applies_nothing() {
    let counter = Counter::start("faults = { error_5xx = 1, drop_after_write = 1 }").await;
    let first = counter
        .put_keyed("/v1/category/a", "k", &category("a"))
        .await;
    assert_eq!(code(&first), (503, "shop.unavailable"));
    let items = json!([
        {"id": "b", "action": "upsert", "body": category("b")},
        {"id": "c", "action": "upsert", "body": category("c")},
    ]);
    assert_eq!(counter.batch("category", &items).await.0, 503);
    assert_eq!(counter.get("/v1/category/a").await.0, 503);
    assert_eq!(
        counter.get("/v1/account").await.0,
        200,
        "only calls on objects fail"
    );
    let report = counter.report();
    assert_eq!(
        (
            report.error_5xx_calls,
            report.error_5xx_items,
            report.applied
        ),
        (3, 3, 0)
    );
    assert_eq!(report.objects["category"], 0);

    assert_eq!(counter.change(&json!({"faults": {}})).await.0, 204);
    let again = counter
        .put_keyed("/v1/category/a", "k", &category("a"))
        .await;
    assert_eq!((again.0, counter.report().repeated_same_key), (201, 1));
    let other = counter
        .put_keyed("/v1/category/a", "k2", &category("a"))
        .await;
    assert_eq!((other.0, counter.report().repeated_other_key), (200, 1));
}

#[tokio::test]
async fn a_batch_is_refused_on_request_and_a_single_is_not() {
    let counter = Counter::start("faults = { batch_refusal = 1 }").await;
    let items = json!([{"id": "a", "action": "upsert", "body": category("a")}]);
    assert_eq!(
        code(&counter.batch("category", &items).await),
        (413, "batch.refused")
    );
    assert_eq!(counter.report().objects["category"], 0);
    assert_eq!(counter.put("/v1/category/a", &category("a")).await.0, 201);
}

#[tokio::test]
async fn a_slow_write_is_applied_after_the_wait() {
    let counter = Counter::start("faults = { latency = { share = 1, ms = 86400000 } }").await;
    let body = category("a").to_string();
    let tcp = counter
        .send_raw("PUT /v1/category/a", body.len(), &body)
        .await;
    counter.last_call(|call| call["end"] == "open").await;
    assert!(counter.lines("objects").await.is_empty());
    drop(tcp);
    counter.last_call(|call| call["end"] == "abandoned").await;
    assert!(counter.lines("writes").await.is_empty());

    let brief = json!({"faults": {"latency": {"share": 1, "ms": 1}}});
    assert_eq!(counter.change(&brief).await.0, 204);
    assert_eq!(counter.put("/v1/category/a", &category("a")).await.0, 201);
}

#[tokio::test]
async fn the_seed_fixes_the_fates() {
    let mut runs = Vec::new();
    for seed in [5, 5, 6] {
        let counter =
            Counter::start(&format!("seed = {seed}\nfaults = {{ error_5xx = 0.5 }}")).await;
        let mut statuses = Vec::new();
        for _ in 0..64 {
            let request = counter.request(Method::GET, "/v1/category/a");
            statuses.push(send(request).await.status().as_u16());
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&503) && runs[0].contains(&404));
}
