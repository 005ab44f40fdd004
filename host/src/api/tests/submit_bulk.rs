//! `POST /v1/bulk`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::harness::*;

const CSV: (&str, &str) = ("content-type", "text/csv");

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn bulk_is_the_same_in_json_lines_and_gzip() {
    let host = Host::start().await;
    let many: Vec<Value> = (0..2500).map(|i| line(&i.to_string())).collect();
    let text = lines(&[json!({"defaults": defaults()})]) + &lines(&many);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let waiting = json!([{"kind": "turn", "key": null, "until": null, "jobs": 2500}]);
    for call in [
        host.post("/v1/bulk", bulk(many)),
        host.raw("/v1/bulk", NDJSON, text),
        host.raw("/v1/bulk", NDJSON, packed)
            .with("content-encoding", "gzip"),
    ] {
        let answer = call.await;
        answer
            .expect(202)
            .has_header("operation-location", answer.header("location"))
            .shows("/counts/total", 2500)
            .shows("/channels/0/channel", "shop-de")
            .shows("/channels/0/belt", 2)
            .shows("/channels/0/belts/0/types", json!(["product"]))
            .shows("/channels/0/waiting", waiting.clone());
    }
}

#[tokio::test]
async fn bulk_stores_invalid_items_unless_strict() {
    let host = Host::start().await;
    let body = bulk([
        line("1"),
        json!({"object_ids": ["2"], "channels": ["x"]}),
        json!({"object_ids": ["3"], "subscription": "other"}),
        line("4"),
    ]);
    let strict = host
        .post("/v1/bulk", body.clone())
        .with("prefer", "handling=strict");
    let answer = strict.await;
    answer
        .expect(400)
        .has_code("items_refused")
        .shows("/errors/0/pointer", "/jobs/1/channels/0")
        .shows("/errors/1/pointer", "/jobs/2/subscription");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2);
    assert_eq!(host.executions().await, 0);

    let answer = host.post("/v1/bulk", body).await;
    answer
        .expect(202)
        .shows("/counts/total", 4)
        .shows("/counts/rejected", 2);
    let execution = answer.json();
    assert_eq!(execution["errors"].as_array().unwrap().len(), 2);
    let failed = host
        .get(execution["links"]["failed"].as_str().unwrap())
        .await;
    failed
        .shows("/items/0/index", 1)
        .shows("/items/0/state", "rejected")
        .shows("/items/0/channel", Value::Null)
        .shows("/items/0/problem/code", "unknown_channel")
        .shows("/items/0/problem/pointer", "/jobs/1/channels/0")
        .shows(
            "/items/0/excerpt",
            r#"{"channels":["x"],"object_ids":["2"]}"#,
        )
        .shows("/items/0/object", json!({"type": "product", "id": "2"}));
}

#[tokio::test]
async fn bulk_of_only_invalid_items_is_done_at_once() {
    let host = Host::start().await;
    let answer = host
        .post("/v1/bulk", bulk([json!({"object_ids": []})]))
        .await;
    answer
        .expect(202)
        .has_header("retry-after", "")
        .shows("/status", "failed")
        .shows("/done", true);
}

#[tokio::test]
async fn bulk_that_is_malformed_or_incomplete_stores_nothing() {
    let host = Host::start().await;
    let many: Vec<Value> = (0..1500).map(|i| line(&i.to_string())).collect();
    let whole = bulk(&many).to_string();
    let cut = &whole[..whole.len() - 10];
    let mut text = lines(&[json!({"defaults": defaults()})]) + &lines(&many);
    text.truncate(text.len() - 5);
    let json = |text: &str| host.raw("/v1/bulk", JSON, text.to_owned());
    let replaced = |from: &str, to: &str| json(&whole.replace(from, to));
    for (call, pointer) in [
        (json(cut), None),
        (
            host.raw("/v1/bulk", NDJSON, text),
            Some("/jobs/1499/object_ids/0"),
        ),
        (
            replaced(r#"["17"]}"#, r#"["17"],"action":7}"#),
            Some("/jobs/17/action"),
        ),
        (
            replaced(r#""object_ids":["1200"]"#, r#""object_idz":["17"]"#),
            Some("/jobs/1200/object_idz"),
        ),
        (replaced(r#""jobs""#, r#""job""#), Some("/job")),
        (json(r#"{"jobs":[]}"#), Some("/jobs")),
        (host.raw("/v1/bulk", NDJSON, ""), Some("/jobs")),
        (
            json(r#"{"defaults":{"action":"x"},"jobs":[]}"#),
            Some("/defaults/action"),
        ),
        (
            json(r#"{"jobs":[{"object_ids":["1"]}]}"#),
            Some("/jobs/0/subscription"),
        ),
        (
            json(r#"{"defaults":{"subscription":"nobody"},"jobs":[{}]}"#),
            Some("/defaults/subscription"),
        ),
    ] {
        let answer = call.await;
        answer.expect(400).problem();
        if let Some(pointer) = pointer {
            answer.shows("/errors/0/pointer", pointer);
        }
    }
    let broken: Vec<Result<Bytes, std::io::Error>> = vec![
        Ok(Bytes::from(whole[..whole.len() - 100].to_owned())),
        Err(std::io::Error::other("reset")),
    ];
    let broken = Body::from_stream(futures_util::stream::iter(broken));
    let answer = host.raw("/v1/bulk", JSON, broken).await;
    answer.has_code("body_cut_off");
    assert_eq!(host.executions().await, 0);
    assert_eq!(host.state.store.backlog(), 0);
}

#[tokio::test]
async fn submission_bounds_and_media_types_are_enforced() {
    let settings = ApiSettings {
        bulk_max_bytes: 5000,
        max_item_bytes: 300,
        max_jobs_per_request: 10,
        ..ApiSettings::default()
    };
    let host = Host::with(settings).await;
    let ids: Vec<String> = (0..11).map(|i| i.to_string()).collect();
    let long = json!({"object_ids": ["1"], "client_ref": "x".repeat(300)});
    let many: Vec<Value> = ids.iter().map(|id| line(id)).collect();
    let coded = |coding: &str| {
        host.raw("/v1/bulk", JSON, "{}")
            .with("content-encoding", coding)
    };
    for (call, status, code) in [
        (host.post("/v1/bulk", bulk([long])), 413, "too_large"),
        (host.post("/v1/bulk", bulk(many)), 413, "too_large"),
        (
            host.post("/v1/bulk", bulk([json!({"object_ids": ids})])),
            413,
            "too_large",
        ),
        (
            host.raw("/v1/bulk", JSON, " ".repeat(5001)),
            413,
            "too_large",
        ),
        (
            host.raw("/v1/jobs", JSON, " ".repeat(301)),
            413,
            "too_large",
        ),
        (
            host.raw("/v1/bulk", CSV, "a;b"),
            415,
            "unsupported_media_type",
        ),
        (
            host.act("/v1/bulk").body("{}"),
            415,
            "unsupported_media_type",
        ),
        (
            host.raw("/v1/jobs", NDJSON, "{}"),
            415,
            "unsupported_media_type",
        ),
        (coded("br"), 415, "unsupported_media_type"),
        (coded("gzip"), 400, "body_cut_off"),
    ] {
        call.await.expect(status).has_code(code);
    }
    assert_eq!(host.executions().await, 0);
}
