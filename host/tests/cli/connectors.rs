//! The requests of `connector`, `key` and `execution cancel`.

use serde_json::json;

use crate::binary::Place;
use crate::fake::{FakeHost, Reply, execution};

#[tokio::test]
async fn connector_is_uploaded_and_activated() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let version = json!({"name": "sandbox", "version": "0.1.0", "active": true, "digest": "ab",
        "installed_at": "2026-11-21T12:00:00.000Z"});
    host.on(
        "GET /v1/connectors",
        Reply::new(
            200,
            json!({"items": [{"name": "sandbox", "active": "0.1.0",
            "versions": [version]}], "next": null}),
        ),
    );
    host.on("POST /v1/connectors", Reply::new(201, version.clone()));
    let other = json!({"name": "sandbox", "version": "0.2.0", "active": false, "digest": "cd",
        "installed_at": "2026-11-21T12:00:01.000Z"});
    let activated = json!({"name": "sandbox", "active": "0.1.0", "versions": [version, other],
        "differences": ["it needs less"]});
    host.on(
        "POST /v1/connectors/sandbox:activate",
        Reply::new(200, activated),
    );
    place.write("sandbox.wasm", b"\0asm\x0d\0\x01\0");
    place.write("text.wasm", "hello");
    let ended = place
        .run(&[
            "connector",
            "install",
            "sandbox.wasm",
            "--no-activate",
            "--url",
            &host.url,
        ])
        .await;
    assert_eq!(
        place
            .run(&["connector", "list", "--url", &host.url])
            .await
            .stdout,
        ended.stdout
    );
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (
            Some(0),
            "NAME\tVERSION\tACTIVE\tDIGEST\tINSTALLED\n\
             sandbox\t0.1.0\ttrue\tab\t2026-11-21T12:00:00.000Z\n"
        )
    );
    let activated = place
        .run(&[
            "connector",
            "activate",
            "sandbox",
            "0.1.0",
            "--url",
            &host.url,
        ])
        .await;
    assert_eq!(
        (activated.code, activated.stdout, activated.stderr.as_str()),
        (Some(0), ended.stdout, "it needs less\n")
    );
    let refused = place
        .run(&["connector", "install", "text.wasm", "--url", &host.url])
        .await;
    assert_eq!(
        (refused.code, refused.stderr.as_str()),
        (Some(2), "error: text.wasm: not a WebAssembly file\n")
    );
    let asked = host.asked();
    assert_eq!(
        host.lines(),
        [
            "POST /v1/connectors?activate=false",
            "GET /v1/connectors",
            "POST /v1/connectors/sandbox:activate"
        ]
    );
    assert_eq!(asked[0].headers["content-type"], "application/wasm");
    assert_eq!(asked[0].body, b"\0asm\x0d\0\x01\0"[..]);
    assert_eq!(asked[2].body, br#"{"version":"0.1.0"}"#[..]);
}

#[tokio::test]
async fn job_events_include_the_connectors_log() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let sent = json!({"seq": 2, "at": "2026-11-21T12:00:00.000Z", "stage": "sent", "attempt": 1,
        "detail": "PUT https://shop.example/v1/product/1",
        "log": [{"level": "warn", "message": "no price"}]});
    host.on(
        "GET /v1/jobs/job_1/events",
        Reply::new(
            200,
            json!({"items": [{"seq": 1, "at": "2026-11-21T12:00:00.000Z",
            "stage": "submitted"}, sent]}),
        ),
    );
    let ended = place
        .run(&["job", "events", "job_1", "--url", &host.url])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    insta::assert_snapshot!("events_on_a_pipe", ended.stdout);
}

#[tokio::test]
async fn key_and_execution_commands_send_their_requests() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    host.on(
        "POST /v1/keys",
        Reply::new(
            201,
            json!({"id": "key_1", "role": "submit", "subscription": "acme", "key": "egk_new"}),
        ),
    );
    host.on(
        "DELETE /v1/keys/key_1",
        Reply::new(204, serde_json::Value::Null),
    );
    host.on(
        "POST /v1/executions/exe_1:cancel",
        Reply::new(
            202,
            execution("cancelling", false, json!({"waiting": 1, "succeeded": 0})),
        ),
    );
    let ended = place
        .run(&[
            "key",
            "create",
            "--role",
            "submit",
            "--subscription",
            "acme",
            "--url",
            &host.url,
        ])
        .await;
    assert_eq!(
        ended.stdout, "ID\tROLE\tSUBSCRIPTION\tKEY\nkey_1\tsubmit\tacme\tegk_new\n",
        "{ended:?}"
    );
    assert_eq!(
        place
            .run(&["key", "revoke", "key_1", "--url", &host.url])
            .await
            .code,
        Some(0)
    );
    assert!(
        place
            .run(&["execution", "cancel", "exe_1", "--url", &host.url])
            .await
            .stdout
            .contains("cancelling")
    );
    let body: serde_json::Value = serde_json::from_slice(&host.asked()[0].body).unwrap();
    assert_eq!(
        body,
        json!({"role": "submit", "subscription": "acme", "label": null})
    );
    assert_eq!(
        host.lines()[1..],
        ["DELETE /v1/keys/key_1", "POST /v1/executions/exe_1:cancel"]
    );
}
