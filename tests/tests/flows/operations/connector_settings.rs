//! Settings, validated against the schema of the active connector.

use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use reqwest::Method;
use serde_json::{Value, json};

const CONNECTION: &str = "/v1/channels/twice/connections/acme";

async fn put(rest: &Rest, settings: Value) -> egression_tests::rest::Answer {
    rest.send(
        rest.request(Method::PUT, "/v1/channels/by-rest/connections/acme")
            .json(&json!({"settings": settings})),
    )
    .await
    .unwrap()
}

/// A later version of the hostile connector, without the setting `twice`.
fn later() -> Vec<u8> {
    let mut wasm = hostile::patched(&hostile::component().unwrap(), "twice", "tWice").unwrap();
    for place in 1..wasm.len() - 5 {
        // The version of the contract follows an `@` and stays.
        if wasm[place..].starts_with(b"0.1.0") && wasm[place - 1] != b'@' {
            wasm[place..place + 5].copy_from_slice(b"0.2.0");
        }
    }
    wasm
}

async fn install(rest: &Rest, wasm: Vec<u8>) -> Value {
    let request = rest
        .request(Method::POST, "/v1/connectors")
        .header("content-type", "application/wasm")
        .body(wasm);
    rest.send(request).await.unwrap().expect(201).unwrap().json
}

async fn status(rest: &Rest, path: &str) -> Value {
    rest.get::<Value>(path).await.unwrap()["status"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_settings_are_refused_with_pointers() {
    let host = TestHost::start(&hostile::configuration("", &[]))
        .await
        .unwrap();
    let rest = host.rest().unwrap();
    let channel = rest
        .request(Method::PUT, "/v1/channels/by-rest")
        .json(&json!({"connector": "hostile"}));
    rest.send(channel).await.unwrap().expect(201).unwrap();
    put(&rest, json!({"behave": "sing"}))
        .await
        .expect(201)
        .unwrap();
    host.install_connector(&hostile::component().unwrap())
        .await
        .unwrap();
    let parked = status(&rest, "/v1/channels/by-rest/connections/acme").await;
    assert_eq!(
        parked["state"], "parked",
        "the schema was unknown at the time of the write: {parked}"
    );
    for (settings, pointer) in [
        (json!({"behave": "sing"}), "/settings/behave"),
        (
            json!({"target_url": 7, "behave": "ok"}),
            "/settings/target_url",
        ),
    ] {
        let refused = put(&rest, settings).await.expect(400).unwrap();
        let error = &refused.json["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!(pointer), &json!("settings.schema")),
            "{}",
            refused.text
        );
    }
    let refused = put(&rest, json!({})).await.expect(400).unwrap();
    assert!(
        refused.json["errors"][0]["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("behave")),
        "{}",
        refused.text
    );
    let text = HostileChannel::new("sing").named("applied").to_string();
    let request = rest
        .request(Method::POST, "/v1/documents:apply")
        .header("content-type", "application/toml")
        .body(text);
    let refused = rest.send(request).await.unwrap().expect(400).unwrap();
    assert_eq!(
        refused.json["errors"][0]["pointer"], "/connections/0/settings/behave",
        "{}",
        refused.text
    );
    assert_eq!(
        rest.get_status("/v1/channels/applied").await,
        Some(404),
        "the refused document was stored"
    );
    put(&rest, json!({"behave": "ok"}))
        .await
        .expect(200)
        .unwrap();
    let freed = status(&rest, "/v1/channels/by-rest/connections/acme").await;
    assert_eq!(freed["state"], "active", "{freed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incompatible_version_parks_until_the_settings_fit() {
    // The connector's own check passes, but must not free the connection.
    let server = "[server.dispatch]\nprobe_min_ms = 50\nprobe_max_ms = 50\n";
    let host = hostile::start(
        server,
        &[HostileChannel::new("twice"), HostileChannel::new("ok")],
    )
    .await
    .unwrap();
    let rest = host.rest().unwrap();
    let installed = install(&rest, later()).await;
    let differences = installed["differences"].as_array().unwrap();
    let told = differences
        .iter()
        .filter_map(Value::as_str)
        .any(|one| one.contains("`acme/twice`") && one.contains("/settings/behave"));
    assert!(told && differences.len() == 1, "{differences:?}");
    let parked = status(&rest, CONNECTION).await;
    let reason = parked["reason"].as_str().unwrap();
    assert!(
        parked["state"] == "parked" && reason.starts_with("settings-invalid: /settings/behave"),
        "{parked}"
    );
    let waiting = follow::submit(&rest, &upsert("twice", "p1")).await.unwrap();
    follow::until_waits_for(&rest, &waiting, "parked")
        .await
        .unwrap();
    let neighbour = follow::submit_and_wait(&rest, &upsert("ok", "p1"))
        .await
        .unwrap();
    assert_eq!(
        neighbour["status"], "succeeded",
        "the other connection is not parked"
    );
    let back = rest
        .request(Method::POST, "/v1/connectors/hostile:activate")
        .json(&json!({"version": "0.1.0"}));
    rest.send(back).await.unwrap().expect(200).unwrap();
    let done = follow::until_done(&rest, &waiting).await.unwrap();
    let job = follow::jobs(&rest, &done).await.unwrap().remove(0);
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#}"
    );
    assert_eq!(status(&rest, CONNECTION).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_settings_in_the_file_park_one_connection() {
    let mut host = hostile::start(
        "",
        &[HostileChannel::new("twice"), HostileChannel::new("ok")],
    )
    .await
    .unwrap();
    install(&host.rest().unwrap(), later()).await;
    host.kill9().await.unwrap();
    host.restart().await.unwrap();
    let rest = host.rest().unwrap();
    assert_eq!(status(&rest, CONNECTION).await["state"], "parked");
    let neighbour = follow::submit_and_wait(&rest, &upsert("ok", "p1"))
        .await
        .unwrap();
    assert_eq!(neighbour["status"], "succeeded");
}
