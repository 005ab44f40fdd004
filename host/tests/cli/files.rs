//! Files: `apply` sends them, `serve` refuses wrong ones, and both say where.

use serde_json::{Value, json};

use crate::binary::Place;
use crate::fake::{FakeHost, Reply};

const FILE: &str = r#"
[server]
listen = "127.0.0.1:1"
[[connections]]
subscription = "acme"
channel = "shop-de"
auth = { scheme = "bearer", token = { env = "TOKEN" } }
[[channels]]
name = "shop-de"
connector = "sandbox"
"#;

#[tokio::test]
async fn cli_apply_sends_documents_in_order() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    place.write("part.toml", FILE);
    host.on("PUT /v1/channels/shop-de", Reply::new(201, json!({})).with("etag", "\"1\""));
    host.on("PUT /v1/channels/shop-de/connections/acme", Reply::new(200, json!({})).with("etag", "\"7\""));
    let ended = place.run(&["apply", "part.toml", "--url", &host.url]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "DOCUMENT\tRESULT\tVERSION\nchannels/shop-de\tcreated\t1\nchannels/shop-de/connections/acme\tupdated\t7\n");
    let body: Value = serde_json::from_slice(&host.asked()[1].body).unwrap();
    assert_eq!(body["auth"]["token"], json!({"env": "TOKEN"}));
}

#[tokio::test]
async fn cli_apply_stops_at_a_refusal() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    place.write("part.toml", FILE);
    host.on("PUT /v1/channels/shop-de", Reply::new(409, json!({"title": "Conflict", "detail": "managed by the configuration file", "code": "managed_by_file"})));
    let ended = place.run(&["apply", "part.toml", "--url", &host.url]).await;
    assert_eq!(ended.code, Some(4));
    assert_eq!(ended.stderr, "stopped after 0 documents; these are in force\nerror: channels/shop-de: 409 Conflict: managed by the configuration file (managed_by_file)\n");
    assert_eq!(host.lines().len(), 1);
}

#[tokio::test]
async fn cli_serve_says_where_a_file_is_wrong() {
    let place = Place::new();
    place.write("egression.toml", FILE);
    let ended = place.run(&["serve", "--config", "egression.toml"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(2), "error: egression.toml:5:1: there is no subscription `acme` in this file (reference.missing)\n"));
}
