//! Scripted faults.

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::client::{ShopClient, answer, category, code, send};

#[tokio::test]
async fn dropped_answer_is_a_lost_connection() {
    let client = ShopClient::start("faults = { drop_after_write = 1 }").await;
    let put = |key: &str| {
        let request = client.request(Method::PUT, "/v1/category/a");
        request.header("idempotency-key", key).json(&category("a"))
    };
    let lost = put("k").send().await.unwrap_err();
    assert!(
        lost.is_request() && !lost.is_timeout() && lost.status().is_none(),
        "{lost:?}"
    );
    // The write was applied. Its repeat is answered, because a replay applies nothing.
    assert_eq!(client.get("/v1/category/a").await.1["version"], "1");
    assert_eq!(answer(put("k")).await.0, 201);

    let items = json!([
        {"id": "b", "action": "upsert", "body": category("b")},
        {"id": "c", "action": "delete"},
    ]);
    let batch = client.request(Method::POST, "/v1/category/batch");
    batch
        .json(&json!({ "items": items }))
        .send()
        .await
        .unwrap_err();
    let report = client.report();
    assert_eq!((report.dropped_calls, report.dropped_items), (2, 3));
    assert_eq!((report.by_status[&0], report.repeated_same_key), (2, 1));
    assert_eq!(report.objects["category"], 2);
    let calls = client.lines("calls").await;
    assert_eq!(
        (&calls[1]["end"], &calls[1]["status"]),
        (&json!("dropped"), &json!(0))
    );
}

#[tokio::test]
async fn dropped_connection_carries_no_byte_of_an_answer() {
    let client = ShopClient::start("faults = { drop_after_write = 1 }").await;
    let body = category("a").to_string();
    let mut tcp = client
        .send_raw("PUT /v1/category/a", body.len(), &body)
        .await;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty(), "{answer:?}");
    assert_eq!(client.report().objects["category"], 1);
    // A refused call is not dropped.
    assert_eq!(client.put("/v1/category/b", &json!({})).await.0, 400);
    assert_eq!(client.get("/v1/category/a").await.0, 200);
}

#[tokio::test]
async fn status_503_applies_nothing() {
    let client = ShopClient::start("faults = { error_5xx = 1, drop_after_write = 1 }").await;
    let first = client
        .put_keyed("/v1/category/a", "k", &category("a"))
        .await;
    assert_eq!(code(&first), (503, "shop.unavailable"));
    let items = json!([
        {"id": "b", "action": "upsert", "body": category("b")},
        {"id": "c", "action": "upsert", "body": category("c")},
    ]);
    assert_eq!(client.batch("category", &items).await.0, 503);
    assert_eq!(client.get("/v1/category/a").await.0, 503);
    assert_eq!(
        client.get("/v1/account").await.0,
        200,
        "only calls on objects fail"
    );
    let report = client.report();
    assert_eq!(
        (
            report.error_5xx_calls,
            report.error_5xx_items,
            report.applied
        ),
        (3, 3, 0)
    );
    assert_eq!(report.objects["category"], 0);

    assert_eq!(client.change(&json!({"faults": {}})).await.0, 204);
    let again = client
        .put_keyed("/v1/category/a", "k", &category("a"))
        .await;
    assert_eq!((again.0, client.report().repeated_same_key), (201, 1));
    let other = client
        .put_keyed("/v1/category/a", "k2", &category("a"))
        .await;
    assert_eq!((other.0, client.report().repeated_other_key), (200, 1));
}

#[tokio::test]
async fn batch_refusal_spares_single_calls() {
    let client = ShopClient::start("faults = { batch_refusal = 1 }").await;
    let items = json!([{"id": "a", "action": "upsert", "body": category("a")}]);
    assert_eq!(
        code(&client.batch("category", &items).await),
        (413, "batch.refused")
    );
    assert_eq!(client.report().objects["category"], 0);
    assert_eq!(client.put("/v1/category/a", &category("a")).await.0, 201);
}

#[tokio::test]
async fn slow_write_is_applied_after_the_wait() {
    let client = ShopClient::start("faults = { latency = { share = 1, ms = 86400000 } }").await;
    let body = category("a").to_string();
    let tcp = client
        .send_raw("PUT /v1/category/a", body.len(), &body)
        .await;
    client.last_call(|call| call["end"] == "open").await;
    assert!(client.lines("objects").await.is_empty());
    drop(tcp);
    client.last_call(|call| call["end"] == "abandoned").await;
    assert!(client.lines("writes").await.is_empty());

    let brief = json!({"faults": {"latency": {"share": 1, "ms": 1}}});
    assert_eq!(client.change(&brief).await.0, 204);
    assert_eq!(client.put("/v1/category/a", &category("a")).await.0, 201);
}

#[tokio::test]
async fn seed_determines_the_faults() {
    let mut runs = Vec::new();
    for seed in [5, 5, 6] {
        let client =
            ShopClient::start(&format!("seed = {seed}\nfaults = {{ error_5xx = 0.5 }}")).await;
        let mut statuses = Vec::new();
        for _ in 0..64 {
            let request = client.request(Method::GET, "/v1/category/a");
            statuses.push(send(request).await.status().as_u16());
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&503) && runs[0].contains(&404));
}
