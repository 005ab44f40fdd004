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
    let wasm = ("content-type", "application/wasm");
    let refused = host.raw("/v1/connectors", &[wasm], "nonsense").await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (422, "connector.not_wasm")
    );
    assert_eq!(host.raw("/v1/connectors", &[], "\0asm").await.status, 415);
    assert_eq!(
        host.raw("/v1/connectors?activate=no", &[wasm], "\0asm....")
            .await
            .status,
        400
    );
    let installed = host
        .raw("/v1/connectors?activate=false", &[wasm], guest())
        .await;
    assert_eq!(
        (installed.status.as_u16(), installed.header("location")),
        (201, "/v1/connectors/sandbox"),
        "{}",
        installed.text
    );
    assert_eq!(
        host.get("/v1/connectors/sandbox").await.json()["active"],
        "0.0.1"
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
    let version = installed.json()["version"].clone();
    let activated = host
        .post(
            "/v1/connectors/sandbox:activate",
            json!({"version": version}),
        )
        .await;
    assert_eq!(activated.json()["active"], version, "{}", activated.text);
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

#[tokio::test]
async fn connector_beyond_the_bound_is_413() {
    let host = Host::with(ApiSettings {
        connector_max_bytes: 100,
        ..ApiSettings::default()
    })
    .await;
    let wasm = ("content-type", "application/wasm");
    let answer = host.raw("/v1/connectors", &[wasm], vec![0u8; 101]).await;
    assert_eq!(answer.status, 413);
}
