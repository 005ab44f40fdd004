//! The fixtures of tests and demo: the test library reads the logs of shop and source correctly.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use egression_sandbox::{Scenario, Shop, canonical_digest};
use egression_tests::rest::Rest;
use egression_tests::shop::ShopLog;
use egression_tests::source::{MetadataApi, SourceObject};
use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[tokio::test]
async fn shop_log_lists_every_request() {
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("http://{}", shop.addr());
    let login = json!({ "api_key": Scenario::default().credentials.api_key });
    let (_, login) = Rest::new(url.clone(), None)
        .unwrap()
        .post("/v1/login", &login)
        .await
        .unwrap();
    let client = Rest::new(url.clone(), login["token"].as_str().map(str::to_owned)).unwrap();
    let body = json!({ "name": { "en": "Network controllers" } });
    let put = client
        .request(Method::PUT, "/v1/category/class:02")
        .header("Idempotency-Key", "k1")
        .json(&body);
    assert_eq!(put.send().await.unwrap().status(), 201);

    let log = ShopLog::new(url).unwrap();
    let (writes, calls, objects) = (
        log.writes().await.unwrap(),
        log.calls().await.unwrap(),
        log.objects().await.unwrap(),
    );
    assert_eq!(
        (
            writes.len(),
            writes[0].status,
            writes[0].idempotency_key.as_deref()
        ),
        (1, 201, Some("k1"))
    );
    assert_eq!(
        writes[0].digest.as_deref(),
        Some(canonical_digest(&body).as_str())
    );
    assert_eq!(
        (
            objects[0].object_type.as_str(),
            objects[0].id.as_str(),
            &objects[0].digest
        ),
        ("category", "class:02", &canonical_digest(&body))
    );
    assert_eq!(
        calls.iter().map(|call| call.items).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(log.report().await.unwrap().calls, 2);
    shop.stop().await;
}

#[tokio::test]
async fn metadata_api_answers_single_and_batch_reads() {
    let body = RawValue::from_string(r#"{"name":{"en":"Intel"}}"#.to_owned()).unwrap();
    let brand = SourceObject {
        id: "8086".to_owned(),
        object_type: "brand".to_owned(),
        revision: 3,
        body,
    };
    let api = MetadataApi::start([brand], "secret").await.unwrap();
    let client = Rest::new(api.url(), Some("secret".to_owned())).unwrap();
    let body = json!({ "name": { "en": "Intel" } });
    let expected = json!({ "id": "8086", "type": "brand", "revision": 3, "body": body });
    assert_eq!(
        client.get::<Value>("/objects/brand/8086").await.unwrap(),
        expected
    );
    assert_eq!(client.get_status("/objects/brand/1").await, Some(404));
    assert_eq!(
        Rest::new(api.url(), None)
            .unwrap()
            .get_status("/objects/brand/8086")
            .await,
        Some(401)
    );
    let (_, answer) = client
        .post(
            "/objects:batchGet",
            &json!({ "type": "brand", "ids": ["1", "8086"] }),
        )
        .await
        .unwrap();
    assert_eq!(answer, json!({ "objects": [expected], "missing": ["1"] }));
    assert_eq!(api.asked(), (4, 2));
}
