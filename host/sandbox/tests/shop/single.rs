//! One object in one call.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::client::{Answer, ShopClient, answer, category, code, product, send};

fn conditional(request: RequestBuilder, name: &str, value: &str) -> impl Future<Output = Answer> {
    answer(request.header(name, value).json(&category("new")))
}

#[tokio::test]
async fn object_is_created_replaced_kept_and_deleted() {
    let client = ShopClient::start("").await;
    let path = "/v1/category/a%2Fb%20c";
    let created = client.put(path, &category("one")).await;
    assert_eq!(
        created,
        (201, json!({"id": "a/b c", "version": "1", "changed": true}))
    );
    let same = client.put(path, &category("one")).await;
    assert_eq!(
        same,
        (
            200,
            json!({"id": "a/b c", "version": "1", "changed": false})
        )
    );
    let other = client.put(path, &category("two")).await;
    assert_eq!(
        other,
        (200, json!({"id": "a/b c", "version": "2", "changed": true}))
    );
    let read = client.get(path).await;
    let expected = json!({"id": "a/b c", "version": "2", "body": category("two")});
    assert_eq!(read, (200, expected));
    let etag = send(client.request(Method::GET, path)).await;
    assert_eq!(etag.headers()["etag"], "\"2\"");

    assert_eq!(client.delete(path).await, (204, json!(null)));
    assert_eq!(code(&client.delete(path).await), (404, "object.missing"));
    assert_eq!(code(&client.get(path).await), (404, "object.missing"));
}

#[tokio::test]
async fn preconditions_are_enforced() {
    let client = ShopClient::start("").await;
    let put = || client.request(Method::PUT, "/v1/category/a");
    let missing = conditional(put(), "if-match", "*").await;
    assert_eq!(code(&missing), (404, "object.missing"));
    let missing = conditional(put(), "if-match", "\"1\"").await;
    assert_eq!(code(&missing), (404, "object.missing"));
    assert_eq!(conditional(put(), "if-none-match", "*").await.0, 201);
    let exists = conditional(put(), "if-none-match", "*").await;
    assert_eq!(code(&exists), (412, "version.exists"));
    assert_eq!(exists.1["error"]["version"], "1");
    assert_eq!(conditional(put(), "if-match", "*").await.0, 200);
    assert_eq!(client.put("/v1/category/a", &category("two")).await.0, 200);
    let stale = conditional(put(), "if-match", "\"1\"").await;
    assert_eq!(code(&stale), (412, "version.conflict"));
    assert_eq!(stale.1["error"]["version"], "2");
    assert_eq!(
        conditional(put(), "if-match", "\"2\"").await.1["version"],
        "3"
    );
    let other = conditional(put(), "if-none-match", "\"3\"").await;
    assert_eq!(code(&other), (400, "header.invalid"));

    let delete = || client.request(Method::DELETE, "/v1/category/a");
    let stale = conditional(delete(), "if-match", "\"2\"").await;
    assert_eq!(code(&stale), (412, "version.conflict"));
    assert_eq!(conditional(delete(), "if-match", "\"3\"").await.0, 204);
}

#[tokio::test]
async fn references_must_exist_and_protect_their_targets() {
    let client = ShopClient::start("").await;
    let body = json!({
        "name": {"de": "Sofa"}, "brand": {"type": "brand", "id": "b"},
        "categories": [{"type": "category", "id": "c"}, {"type": "category", "id": "d"}],
    });
    assert_eq!(client.put("/v1/category/d", &category("d")).await.0, 201);
    let refused = client.put("/v1/product/p", &body).await;
    assert_eq!(code(&refused), (422, "reference.missing"));
    let missing = json!([{"type": "brand", "id": "b"}, {"type": "category", "id": "c"}]);
    assert_eq!(refused.1["error"]["references"], missing);

    assert_eq!(client.put("/v1/category/c", &category("c")).await.0, 201);
    assert_eq!(
        client.put("/v1/brand/b", &json!({"name": "B"})).await.0,
        201
    );
    assert_eq!(client.put("/v1/product/p", &body).await.0, 201);
    let held = client.delete("/v1/category/c").await;
    assert_eq!(code(&held), (409, "object.referenced"));
    let offer = json!({
        "product": {"type": "product", "id": "q"},
        "price": {"currency": "EUR", "minor_units": 1999},
    });
    assert_eq!(
        code(&client.put("/v1/offer/o", &offer).await),
        (422, "reference.missing")
    );
    let child = json!({"name": {"de": "x"}, "parent": {"type": "category", "id": "nowhere"}});
    assert_eq!(
        code(&client.put("/v1/category/e", &child).await),
        (422, "reference.missing")
    );
    let report = client.report();
    assert_eq!(
        (report.missing_reference, report.missing_reference_items),
        (3, 3)
    );
}

#[tokio::test]
async fn invalid_bodies_and_paths_are_refused() {
    let client = ShopClient::start("max_body_bytes = 200").await;
    let wrong = client
        .put("/v1/product/p", &json!({"name": {"de": ""}}))
        .await;
    assert_eq!(code(&wrong), (400, "body.invalid"));
    assert_eq!(wrong.1["error"]["pointer"], "/name/de");
    let not_json = client.request(Method::PUT, "/v1/product/p").body("{");
    assert_eq!(code(&answer(not_json).await), (400, "body.invalid"));
    let large = client
        .put("/v1/category/c", &category(&"x".repeat(200)))
        .await;
    assert_eq!(code(&large), (413, "body.too_large"));
    assert_eq!(
        code(&client.put("/v1/shelf/s", &json!({})).await),
        (404, "type.unknown")
    );
    assert_eq!(code(&client.get("/v1/a/b/c").await), (404, "route.unknown"));
    let post = answer(client.request(Method::POST, "/v1/product/p")).await;
    assert_eq!(code(&post), (405, "method.unknown"));
    let patch = answer(client.request(Method::PATCH, "/v1/product/p")).await;
    assert_eq!(code(&patch), (405, "method.unknown"));
    // "batch" is an ordinary object id, except for POST.
    assert_eq!(
        client.put("/v1/category/batch", &category("batch")).await.0,
        201
    );
    assert!(client.report().objects.values().sum::<u64>() == 1);
}

#[tokio::test]
async fn idempotency_key_replays_the_first_answer() {
    let client = ShopClient::start("").await;
    let path = "/v1/category/a";
    let first = client.put_keyed(path, "k1", &category("one")).await;
    assert_eq!(client.put_keyed(path, "k2", &category("two")).await.0, 200);
    let request = client
        .request(Method::PUT, path)
        .header("idempotency-key", "\"k1\"");
    let replayed = send(request.json(&category("one"))).await;
    assert_eq!(replayed.headers()["idempotent-replayed"], "true");
    assert_eq!(
        (replayed.status().as_u16(), replayed.json().await.unwrap()),
        first
    );
    assert_eq!(client.get(path).await.1["body"], category("two"));

    let reused = client.put_keyed(path, "k1", &category("three")).await;
    assert_eq!(code(&reused), (422, "idempotency.reused"));
    let elsewhere = client
        .put_keyed("/v1/category/b", "k1", &category("one"))
        .await;
    assert_eq!(code(&elsewhere), (422, "idempotency.reused"));
    let delete = client
        .request(Method::DELETE, path)
        .header("idempotency-key", "k3");
    assert_eq!(answer(delete.try_clone().unwrap()).await.0, 204);
    assert_eq!(answer(delete).await.0, 204);
    assert_eq!(client.report().repeated_same_key, 2);
    assert_eq!(client.report().repeated_other_key, 0);
}

#[tokio::test]
async fn refused_write_can_be_retried_under_its_key() {
    let client = ShopClient::start("").await;
    let body = product("Sofa", "c");
    let refused = client.put_keyed("/v1/product/p", "k", &body).await;
    assert_eq!(code(&refused), (422, "reference.missing"));
    assert_eq!(client.put("/v1/category/c", &category("c")).await.0, 201);
    assert_eq!(client.put_keyed("/v1/product/p", "k", &body).await.0, 201);
    assert_eq!(client.report().repeated_same_key, 0);
    // A client should never send the same bytes under a new key.
    assert_eq!(client.put_keyed("/v1/product/p", "k'", &body).await.0, 200);
    assert_eq!(client.report().repeated_other_key, 1);
}
