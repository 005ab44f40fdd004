//! Installing, listing and activating connectors.

use super::harness::*;

#[tokio::test]
async fn connector_is_installed_listed_and_activated() {
    let host = Host::with(ApiSettings {
        connector_max_bytes: 100,
        ..ApiSettings::default()
    })
    .await;
    let wasm = ("content-type", "application/wasm");
    let refused = host.raw("/v1/connectors", &[wasm], "nonsense").await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (422, "not_a_component")
    );
    assert_eq!(
        host.raw("/v1/connectors", &[wasm], vec![0u8; 101])
            .await
            .status,
        413
    );
    assert_eq!(host.raw("/v1/connectors", &[], "\0asm").await.status, 415);
    assert_eq!(
        host.raw("/v1/connectors?activate=no", &[wasm], "\0asm....")
            .await
            .status,
        400
    );
    let installed = host
        .raw("/v1/connectors?activate=false", &[wasm], "\0asm....")
        .await;
    assert_eq!(
        (installed.status.as_u16(), installed.header("location")),
        (201, "/v1/connectors/sandbox"),
        "{}",
        installed.text
    );
    assert_eq!(
        host.get("/v1/connectors/sandbox").await.json()["active"],
        Value::Null
    );
    let unknown = host
        .post(
            "/v1/connectors/sandbox:activate",
            json!({"version": "9.9.9"}),
        )
        .await;
    assert_eq!(
        (
            unknown.status.as_u16(),
            &unknown.json()["errors"][0]["pointer"]
        ),
        (400, &json!("/version"))
    );
    assert_eq!(
        host.post(
            "/v1/connectors/sandbox:activate",
            json!({"version": "0.1.0"})
        )
        .await
        .json()["active"],
        "0.1.0"
    );
    assert_eq!(
        host.get("/v1/connectors").await.json()["items"][0]["versions"][0]["description"]["title"],
        "Sandbox"
    );
    assert_eq!(host.get("/v1/connectors/other").await.status, 404);
    let tenant = key(&host.state, Role::Read, Some("acme")).await;
    host.state
        .configuration
        .put(
            Document::Subscription(serde_json::from_value(json!({"name": "none"})).unwrap()),
            ManagedBy::Api,
            None,
        )
        .await
        .unwrap();
    let without = key(&host.state, Role::Read, Some("none")).await;
    for (key, status, seen) in [(tenant, 200, 1), (without, 404, 0)] {
        assert_eq!(
            host.call_as(&key, "GET", "/v1/connectors/sandbox", &[], None)
                .await
                .status,
            status
        );
        let list = host
            .call_as(&key, "GET", "/v1/connectors", &[], None)
            .await
            .json();
        assert_eq!(list["items"].as_array().unwrap().len(), seen, "{list}");
    }
}
