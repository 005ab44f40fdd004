//! Several objects in one call.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{ShopClient, answer, category, code};

fn upserts(count: usize) -> Value {
    let item = |id| json!({"id": format!("c{id}"), "action": "upsert", "body": category("c")});
    (0..count).map(item).collect()
}

#[tokio::test]
async fn items_succeed_and_fail_separately_in_order() {
    let client = ShopClient::start("").await;
    let child = json!({"name": {"de": "x"}, "parent": {"type": "category", "id": "a"}});
    let items = json!([
        {"id": "b", "action": "create", "idempotency_key": "k1", "body": child},
        {"id": "a", "action": "create", "idempotency_key": "k2", "body": category("a")},
        {"id": "b", "action": "create", "idempotency_key": "k3", "body": child},
        {"id": "a", "action": "create", "idempotency_key": "k4", "body": category("a")},
        {"id": "a", "action": "update", "version": "7", "idempotency_key": "k5",
         "body": category("z")},
        {"id": "a", "action": "update", "version": "1", "idempotency_key": "k6",
         "body": category("z")},
        {"id": "n", "action": "update", "idempotency_key": "k7", "body": category("n")},
        {"id": "a", "action": "upsert", "idempotency_key": "k6", "body": category("y")},
        {"id": "a", "action": "upsert", "idempotency_key": "k6", "body": category("z")},
        {"id": "a", "action": "delete", "idempotency_key": "k8"},
        {"id": "b", "action": "delete", "idempotency_key": "k9"},
        {"id": "b", "action": "delete", "idempotency_key": "k10"},
        {"id": "d", "action": "upsert", "body": {"name": {}}},
        {"id": "e", "action": "mend", "body": category("e")},
        {"id": "f", "action": "upsert"},
    ]);
    let (status, body) = client.batch("category", &items).await;
    assert_eq!(status, 200);
    let results = body["results"].as_array().unwrap();
    let told: Vec<_> = results
        .iter()
        .map(|result| {
            let code = result["error"]["code"].as_str().unwrap_or("");
            (
                result["id"].as_str().unwrap(),
                result["status"].as_u64().unwrap(),
                code,
            )
        })
        .collect();
    let expected = [
        ("b", 422, "reference.missing"),
        ("a", 201, ""),
        ("b", 201, ""),
        ("a", 412, "version.exists"),
        ("a", 412, "version.conflict"),
        ("a", 200, ""),
        ("n", 404, "object.missing"),
        ("a", 422, "idempotency.reused"),
        ("a", 200, ""),
        ("a", 409, "object.referenced"),
        ("b", 204, ""),
        ("b", 404, "object.missing"),
        ("d", 400, "body.invalid"),
        ("e", 400, "body.invalid"),
        ("f", 400, "body.invalid"),
    ];
    assert_eq!(told, expected);
    let updated = json!({"id": "a", "status": 200, "version": "2", "changed": true});
    assert_eq!((&results[5], &results[8]), (&updated, &updated));
    assert_eq!(results[4]["error"]["version"], "1");
    assert_eq!(results[12]["error"]["pointer"], "/name");
    assert_eq!(
        results[0]["error"]["references"],
        json!([{"type": "category", "id": "a"}])
    );

    let report = client.report();
    assert_eq!((report.calls, report.items, report.applied), (2, 15, 4));
    assert_eq!(
        (report.missing_reference, report.missing_reference_items),
        (1, 1)
    );
}

#[tokio::test]
async fn batch_beyond_its_bounds_is_refused_whole() {
    let client = ShopClient::start("max_batch = 3\nmax_body_bytes = 1000").await;
    let too_many = client.batch("category", &upserts(4)).await;
    assert_eq!(code(&too_many), (413, "batch.refused"));
    let wide = json!([{"id": "c", "action": "upsert", "body": category(&"x".repeat(1000))}]);
    assert_eq!(
        code(&client.batch("category", &wide).await),
        (413, "batch.refused")
    );
    assert_eq!(client.report().objects["category"], 0);
    assert!(client.lines("writes").await.is_empty());
    assert_eq!(client.batch("category", &upserts(3)).await.0, 200);
    assert_eq!(client.report().objects["category"], 3);
}

#[tokio::test]
async fn invalid_batch_is_refused_whole() {
    let client = ShopClient::start("").await;
    let post = |body: &'static str| {
        answer(
            client
                .request(Method::POST, "/v1/category/batch")
                .body(body),
        )
    };
    assert_eq!(code(&post("{").await), (400, "body.invalid"));
    assert_eq!(code(&post("[]").await), (400, "body.invalid"));
    assert_eq!(
        code(&client.batch("shelf", &upserts(1)).await),
        (404, "type.unknown")
    );
    assert_eq!(
        client.batch("category", &json!([])).await,
        (200, json!({"results": []}))
    );
}
