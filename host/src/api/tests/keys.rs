//! API keys and what their roles allow.

use super::harness::*;

#[tokio::test]
async fn key_allows_its_role_until_it_is_revoked() {
    let host = Host::start().await;
    let made = host
        .post(
            "/v1/keys",
            json!({"role": "read", "subscription": "acme", "label": "dashboard"}),
        )
        .await;
    made.expect(201);
    let text = |field: &str| made.json()[field].as_str().unwrap().to_owned();
    let (path, text) = (format!("/v1/keys/{}", text("id")), text("key"));
    assert!(!host.get("/v1/keys").await.text.contains(&text));
    host.get("/v1/executions").by(&text).await.expect(200);
    for call in [
        host.post("/v1/jobs", job("1")),
        host.post("/v1/bulk", json!({})),
        host.put("/v1/subscriptions/acme", json!({})),
        host.act("/v1/channels/shop-de:pause"),
        host.get("/v1/keys"),
        host.post("/v1/keys", json!({"role": "admin"})),
        host.post("/v1/connectors", json!({})),
    ] {
        let answer = call.by(&text).await;
        answer.expect(403).has_code("forbidden");
    }
    host.delete(&path).await.expect(204);
    host.get("/v1/executions").by(&text).await.expect(401);
    host.delete(&path).await.expect(404);
    for bad in [
        json!({"role": "root"}),
        json!({"role": "read", "subscription": "nobody"}),
        json!({}),
        json!({"role": "read", "x": 1}),
    ] {
        host.post("/v1/keys", bad).await.expect(400);
    }
}

#[tokio::test]
async fn bound_admin_stays_within_its_subscription() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let put = |path: &str, body: Value| host.put(path, body).by(&bound);
    let create = |body: Value| host.post("/v1/keys", body).by(&bound);
    let made = create(json!({"role": "admin"})).await;
    made.expect(201).shows("/subscription", "other");
    let foreign = create(json!({"role": "read", "subscription": "acme"})).await;
    foreign.expect(400);
    assert_eq!(host.get("/v1/keys").by(&bound).await.items().len(), 2);
    let channel = put("/v1/channels/shop-fr", json!({"connector": "sandbox"})).await;
    channel.expect(403);
    let path = "/v1/channels/shop-fr/connections/other";
    let settings = json!({"base_url": "https://b.example"});
    put(path, json!({"settings": settings})).await.expect(200);
    // What reads the host's own files, or opens private addresses, is the operator's to say.
    let token = |secret: serde_json::Value| json!({"auth": {"scheme": "bearer", "token": secret}});
    for (asked, status) in [
        (token(json!({"file": "/etc/hostname"})), 403),
        (token(json!({"env": "HOME"})), 403),
        (json!({"allow_addresses": ["127.0.0.1/32"]}), 403),
        (json!({"allow_hosts": ["https://c.example"]}), 403),
        (token(json!({"value": "t0ken-of-its-own"})), 200),
    ] {
        let mut document = asked.clone();
        document["settings"] = settings.clone();
        assert_eq!(put(path, document).await.status, status, "{asked}");
    }
    let foreign = put("/v1/channels/shop-fr/connections/acme", json!({})).await;
    foreign.expect(404);
}
