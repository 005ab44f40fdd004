//! Parts of a connection that only the operator changes.

use super::harness::*;

#[tokio::test]
async fn bound_admin_cannot_restore_a_revoked_address_with_a_slow_body() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let path = "/v1/channels/shop-fr/connections/other";
    let document = |addresses: Value| {
        json!({"channel": "shop-fr", "subscription": "other",
        "settings": {"base_url": "https://b.example"}, "allow_addresses": addresses})
    };
    let open = document(json!(["10.0.0.5/32"]));
    host.put(path, open.clone()).await.expect(200);
    let closed = Document::Connection(serde_json::from_value(document(json!([]))).unwrap());
    let configuration = Arc::clone(&host.state.configuration);
    // The operator acts after the head of the request was read, and before its body is there.
    let body = Body::from_stream(futures_util::stream::once(async move {
        configuration
            .put(closed, ManagedBy::Api, None)
            .await
            .unwrap();
        Ok::<_, std::io::Error>(Bytes::from(open.to_string()))
    }));
    let put = host.request("PUT", path).with(JSON.0, JSON.1);
    let answer = put.body(body).by(&bound).await;
    answer.expect(403);
    assert_eq!(host.get(path).await.json().get("allow_addresses"), None);
}

#[tokio::test]
async fn bound_admin_cannot_move_a_connection_to_another_host() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let path = "/v1/channels/shop-fr/connections/other";
    let document =
        |settings: Value| json!({"settings": settings, "allow_addresses": ["10.0.0.5/32"]});
    let opened = document(json!({"base_url": "http://erp.example:8080/a", "locale": "de"}));
    host.put(path, opened).await.expect(200);
    for (settings, status) in [
        (
            json!({"base_url": "http://erp.example:8080/b", "locale": "fr"}),
            200,
        ),
        (json!({"base_url": "http://erp.example:9200/b"}), 403),
        (json!({"base_url": "https://erp.example:8080/b"}), 403),
        (json!({"base_url": "http://vault.example:8080/b"}), 403),
        (
            json!({"base_url": "http://erp.example:8080/b", "copy_url": "http://vault.example"}),
            403,
        ),
        // Taken out it is no way to put in another one.
        (json!({"locale": "fr"}), 200),
        (json!({"base_url": "http://vault.example:8080/b"}), 403),
    ] {
        let answer = host.put(path, document(settings.clone())).by(&bound).await;
        assert_eq!(answer.status, status, "{settings}: {}", answer.text);
        if status == 403 {
            answer.names("/settings/");
        }
    }
    let moved = document(json!({"base_url": "http://vault.example:8080/b"}));
    // The operator may.
    host.put(path, moved).await.expect(200);
}
