//! The control surface, the logs, and the stop.

use egression_sandbox::{Report, Scenario, Shop, StartError, canonical_digest};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{ShopClient, answer, category, code};

#[tokio::test]
async fn logs_list_every_call_write_and_object() {
    let client = ShopClient::start("").await;
    let items = json!([
        {"id": "b", "action": "create", "idempotency_key": "k1", "body": category("b")},
        {"id": "a", "action": "delete", "idempotency_key": "k2"},
        {"id": "b", "action": "create", "idempotency_key": "k1", "body": category("b")},
    ]);
    assert_eq!(client.batch("category", &items).await.0, 200);
    assert_eq!(client.put("/v1/brand/x", &json!({"name": 1})).await.0, 400);
    assert_eq!(
        client.put("/v1/brand/x", &json!({"name": "X"})).await.0,
        201
    );

    let calls = client.lines("calls").await;
    let told = |call: &Value| {
        (
            call["seq"].clone(),
            call["method"].clone(),
            call["path"].clone(),
            call["status"].clone(),
            call["items"].clone(),
        )
    };
    let line = |seq, method, path, status, items| {
        (
            json!(seq),
            json!(method),
            json!(path),
            json!(status),
            json!(items),
        )
    };
    let expected = [
        line(1, "POST", "/v1/login", 200, 0),
        line(2, "POST", "/v1/category/batch", 200, 3),
        line(3, "PUT", "/v1/brand/x", 400, 1),
        line(4, "PUT", "/v1/brand/x", 201, 1),
    ];
    assert_eq!(calls.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(calls.is_sorted_by_key(|call| call["at_us"].as_u64().unwrap()));
    assert!(
        calls
            .iter()
            .all(|call| call["duration_ms"].is_u64() && call["at_ms"].is_u64())
    );

    let writes = client.lines("writes").await;
    let digest = canonical_digest(&category("b"));
    let wrong = canonical_digest(&json!({"name": 1}));
    let parts = |write: &Value| {
        let names = [
            "seq",
            "call",
            "type",
            "id",
            "action",
            "idempotency_key",
            "digest",
            "applied",
            "status",
        ];
        Value::from(names.map(|name| write[name].clone()).to_vec())
    };
    let brand = canonical_digest(&json!({"name": "X"}));
    let expected = [
        json!([1, 2, "category", "b", "create", "k1", digest, true, 201]),
        json!([2, 2, "category", "a", "delete", "k2", null, false, 404]),
        json!([3, 2, "category", "b", "create", "k1", digest, false, 201]),
        json!([4, 3, "brand", "x", "upsert", null, wrong, false, 400]),
        json!([5, 4, "brand", "x", "upsert", null, brand, true, 201]),
    ];
    assert_eq!(writes.iter().map(parts).collect::<Vec<_>>(), expected);

    let objects = client.lines("objects").await;
    let expected = [
        json!({"type": "category", "id": "b", "version": "1", "digest": digest,
               "body": category("b")}),
        json!({"type": "brand", "id": "x", "version": "1", "digest": brand,
               "body": {"name": "X"}}),
    ];
    assert_eq!(objects, expected);
}

#[tokio::test]
async fn report_is_the_same_over_http() {
    let client =
        ShopClient::start("seed = 9\nlimits = [{ kind = \"concurrency\", max = 9 }]").await;
    assert_eq!(client.put("/v1/category/a", &category("a")).await.0, 201);
    let (_, body) = client.get("/_sandbox/report").await;
    let over_http: Report = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(over_http, client.report());
    assert_eq!(
        (over_http.seed, over_http.calls, over_http.items),
        (9, 2, 1)
    );
    assert_eq!(
        body["objects"],
        json!({"category": 1, "brand": 0, "product": 0, "offer": 0})
    );
    assert_eq!(body["by_status"], json!({"200": 1, "201": 1}));
    // The report does not count calls to the control surface.
    assert!(
        client
            .lines("calls")
            .await
            .iter()
            .all(|call| call["path"] != "/_sandbox/report")
    );
}

#[tokio::test]
async fn scenario_change_takes_effect_unless_invalid() {
    let client =
        ShopClient::start("limits = [{ kind = \"window\", max = 2, window_ms = 3600000 }]").await;
    assert_eq!(client.get("/v1/account").await.0, 200);
    assert_eq!(client.get("/v1/account").await.0, 429);
    for wrong in [json!({"fault": {}}), json!({"faults": {"error_5xx": 2}})] {
        assert_eq!(
            code(&client.change(&wrong).await),
            (400, "scenario.invalid")
        );
    }
    // An unchanged limit keeps its count while another field changes.
    let same =
        json!({"limits": [{"kind": "window", "max": 2, "window_ms": 3_600_000}], "account": "new"});
    assert_eq!(client.change(&same).await.0, 204);
    assert_eq!(client.get("/v1/account").await.0, 429);
    assert_eq!(client.change(&json!({"limits": []})).await.0, 204);
    assert_eq!(client.get("/v1/account").await.1["account"], "new");
    let report = client.report();
    assert!(report.limits.is_empty());
    assert_eq!(report.limit_exceeded, 2, "the report keeps earlier counts");
    let whole = serde_json::to_value(Scenario::default()).unwrap();
    assert_eq!(
        client.change(&whole).await.0,
        204,
        "a whole scenario is a valid change"
    );
}

#[tokio::test]
async fn reset_empties_the_shop_and_keeps_the_scenario() {
    let mut client =
        ShopClient::start("account = \"acme\"\nfaults = { token_revocations = [1] }").await;
    assert_eq!(
        client
            .put_keyed("/v1/category/a", "k", &category("a"))
            .await
            .0,
        201
    );
    assert_eq!(
        answer(client.request(Method::POST, "/_sandbox/reset"))
            .await
            .0,
        204
    );
    for log in ["calls", "writes", "objects"] {
        assert!(client.lines(log).await.is_empty(), "{log}");
    }
    assert_eq!(
        code(&client.get("/v1/account").await),
        (401, "token.unknown")
    );
    client.log_in().await;
    assert_eq!(client.get("/v1/account").await.1["account"], "acme");
    let again = client
        .put_keyed("/v1/category/a", "k", &category("other"))
        .await;
    assert_eq!((again.0, again.1["version"].as_str()), (201, Some("1")));
    assert_eq!(
        code(&client.get("/v1/account").await),
        (401, "token.revoked")
    );
    assert_eq!(client.report().calls, 5);
}

#[tokio::test]
async fn connection_serves_many_calls() {
    let client = ShopClient::start("").await;
    let mut tcp = client.send_raw("GET /v1/category/a", 0, "").await;
    let mut seen = Vec::new();
    for call in 1..=3 {
        let mut answer = [0; 1024];
        let end = b"\"message\":\"the object does not exist\"}}";
        while seen.windows(end.len()).filter(|part| part == end).count() < call {
            let read = tcp.read(&mut answer).await.unwrap();
            assert!(read > 0, "the shop closed the connection");
            seen.extend_from_slice(&answer[..read]);
        }
        let token = &client.token;
        let next = format!(
            "GET /v1/category/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        tcp.write_all(next.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn stop_finishes_open_calls_and_frees_the_port() {
    let client = ShopClient::start("").await;
    let addr = client.shop.addr();
    let body = category("a").to_string();
    let (first, rest) = body.split_at(5);
    let mut open = client
        .send_raw("PUT /v1/category/a", body.len(), first)
        .await;
    client.last_call(|call| call["end"] == "open").await;

    let finish = async {
        open.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        open.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let ((), answer) = tokio::join!(client.shop.stop(), finish);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let next = Shop::start(Scenario::default(), addr).await.unwrap();
    let taken = Shop::start(Scenario::default(), addr).await;
    assert!(matches!(taken, Err(StartError::Listen { .. })));
    next.stop().await;
}
