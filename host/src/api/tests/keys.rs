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
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, text) = (
        made.json()["id"].as_str().unwrap().to_owned(),
        made.json()["key"].as_str().unwrap().to_owned(),
    );
    assert!(!host.get("/v1/keys").await.text.contains(&text));
    assert_eq!(
        host.call_as(&text, "GET", "/v1/executions", &[], None)
            .await
            .status,
        200
    );
    for (method, path, body) in [
        ("POST", "/v1/jobs", Some(job("1"))),
        ("POST", "/v1/bulk", Some(json!({}))),
        ("PUT", "/v1/subscriptions/acme", Some(json!({}))),
        ("POST", "/v1/channels/shop-de:pause", None),
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", Some(json!({"role": "admin"}))),
        ("POST", "/v1/connectors", Some(json!({}))),
    ] {
        let answer = host.call_as(&text, method, path, &[], body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (403, "forbidden"),
            "{method} {path}"
        );
    }
    assert_eq!(
        host.call("DELETE", &format!("/v1/keys/{id}"), &[], None)
            .await
            .status,
        204
    );
    assert_eq!(
        host.call_as(&text, "GET", "/v1/executions", &[], None)
            .await
            .status,
        401
    );
    assert_eq!(
        host.call("DELETE", &format!("/v1/keys/{id}"), &[], None)
            .await
            .status,
        404
    );
    for bad in [
        json!({"role": "root"}),
        json!({"role": "read", "subscription": "nobody"}),
        json!({}),
        json!({"role": "read", "x": 1}),
    ] {
        assert_eq!(host.post("/v1/keys", bad).await.status, 400);
    }
}

#[tokio::test]
async fn bound_admin_stays_within_its_subscription() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let made = host
        .call_as(
            &bound,
            "POST",
            "/v1/keys",
            &[],
            Some(json!({"role": "admin"})),
        )
        .await;
    assert_eq!(
        (made.status.as_u16(), &made.json()["subscription"]),
        (201, &json!("other"))
    );
    assert_eq!(
        host.call_as(
            &bound,
            "POST",
            "/v1/keys",
            &[],
            Some(json!({"role": "read", "subscription": "acme"}))
        )
        .await
        .status,
        400
    );
    assert_eq!(
        host.call_as(&bound, "GET", "/v1/keys", &[], None)
            .await
            .json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        host.call_as(
            &bound,
            "PUT",
            "/v1/channels/shop-fr",
            &[],
            Some(json!({"connector": "sandbox"}))
        )
        .await
        .status,
        403
    );
    let own = host
        .call_as(
            &bound,
            "PUT",
            "/v1/channels/shop-fr/connections/other",
            &[],
            Some(json!({"settings": {"base_url": "https://b.example"}})),
        )
        .await;
    assert_eq!(own.status, 200, "{}", own.text);
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
        document["settings"] = json!({"base_url": "https://b.example"});
        let answer = host
            .call_as(
                &bound,
                "PUT",
                "/v1/channels/shop-fr/connections/other",
                &[],
                Some(document),
            )
            .await;
        assert_eq!(answer.status, status, "{asked}");
    }
    assert_eq!(
        host.call_as(
            &bound,
            "PUT",
            "/v1/channels/shop-fr/connections/acme",
            &[],
            Some(json!({}))
        )
        .await
        .status,
        404
    );
}
