//! Installing, listing and activating connectors.

use super::harness::*;

/// The sandbox connector, built as for the tests of the runtime.
fn guest() -> Vec<u8> {
    let dir = std::env::var_os("EGRESSION_GUESTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/guest"),
        Into::into,
    );
    let path = dir.join("connector_sandbox.wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test]
async fn connector_is_installed_listed_and_activated() {
    let host = Host::start().await;
    let refused = host.raw("/v1/connectors", WASM, "nonsense").await;
    refused.expect(422).has_code("connector.not_wasm");
    host.act("/v1/connectors").body("\0asm").await.expect(415);
    host.raw("/v1/connectors?activate=no", WASM, "\0asm....")
        .await
        .expect(400);
    let installed = host
        .raw("/v1/connectors?activate=false", WASM, guest())
        .await;
    installed
        .expect(201)
        .has_header("location", "/v1/connectors/sandbox");
    host.get("/v1/connectors/sandbox")
        .await
        .shows("/active", "0.0.1");
    let activate = |version: Value| {
        let body = json!({"version": version});
        host.post("/v1/connectors/sandbox:activate", body)
    };
    let unknown = activate(json!("9.9.9")).await;
    unknown.expect(400).shows("/errors/0/pointer", "/version");
    let version = installed.json()["version"].clone();
    let activated = activate(version.clone()).await;
    activated.shows("/active", version);
    host.get("/v1/connectors")
        .await
        .shows("/items/0/versions/0/description/title", "Sandbox");
    host.get("/v1/connectors/other").await.expect(404);
    let tenant = key(&host.state, Role::Read, Some("acme")).await;
    host.store(subscription("none"), ManagedBy::Api).await;
    let without = key(&host.state, Role::Read, Some("none")).await;
    let listed = json!({"connector": "sandbox", "subscriptions": ["acme", "other"]});
    host.put("/v1/channels/shop-fr", listed).await.expect(200);
    for (key, status, seen) in [(tenant, 200, 1), (without, 404, 0)] {
        host.get("/v1/connectors/sandbox")
            .by(&key)
            .await
            .expect(status);
        let list = host.get("/v1/connectors").by(&key).await;
        assert_eq!(list.items().len(), seen, "{list:?}");
    }
}

#[tokio::test]
async fn connector_beyond_the_bound_is_413() {
    let host = Host::with(ApiSettings {
        connector_max_bytes: 100,
        ..ApiSettings::default()
    })
    .await;
    let answer = host.raw("/v1/connectors", WASM, vec![0u8; 101]).await;
    answer.expect(413);
}
