//! `submit`: the request and its output.

use std::io::Write;

use serde_json::json;

use crate::binary::Place;
use crate::fake::{FakeHost, Reply, execution};

#[tokio::test]
async fn submit_sends_the_file_unchanged() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let accepted = execution(
        "queued",
        false,
        json!({"waiting": 2, "succeeded": 0, "rejected": 1}),
    );
    host.on("POST /v1/bulk", Reply::new(202, accepted.clone()));
    host.on("POST /v1/jobs", Reply::new(202, accepted.clone()));
    let lines = "{\"defaults\":{\"subscription\":\"acme\"}}\n{\"object_ids\":[\"1\"]}\n";
    place.write("jobs.ndjson", lines);
    place.write("bulk.json", "{\"jobs\":[]}");
    place.write("one.json", "{\n  \"subscription\": \"acme\"\n}\n");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    place.write("jobs.ndjson.gz", &packed);

    let ended = place
        .run(&[
            "submit",
            "jobs.ndjson",
            "--url",
            &host.url,
            "--key",
            "egk_1",
            "--strict",
            "--idempotency-key",
            "k1",
        ])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "accepted as exe_1: 3 jobs, 1 refused\n");
    insta::assert_snapshot!("submit_on_a_pipe", ended.stdout);
    for file in ["bulk.json", "one.json", "jobs.ndjson.gz"] {
        assert_eq!(
            place.run(&["submit", file, "--url", &host.url]).await.code,
            Some(0),
            "{file}"
        );
    }
    let ended = place
        .run_with(
            &["submit", "-", "--url", &host.url, "--output", "json"],
            lines.as_bytes(),
        )
        .await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&ended.stdout).unwrap(),
        accepted
    );

    let asked = host.asked();
    let header = |index: usize, name: &str| {
        asked[index]
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        host.lines(),
        [
            "POST /v1/bulk",
            "POST /v1/bulk",
            "POST /v1/jobs",
            "POST /v1/bulk",
            "POST /v1/bulk"
        ]
    );
    assert_eq!(asked[0].body, lines);
    assert_eq!(header(0, "content-type").unwrap(), "application/x-ndjson");
    assert_eq!(
        header(0, "prefer").unwrap(),
        "respond-async, handling=strict"
    );
    assert_eq!(header(0, "idempotency-key").unwrap(), "\"k1\"");
    assert_eq!(header(0, "authorization").unwrap(), "Bearer egk_1");
    assert_eq!(
        (
            header(1, "content-type").unwrap().as_str(),
            header(1, "authorization")
        ),
        ("application/json", None)
    );
    assert_eq!(
        (
            header(3, "content-encoding").unwrap().as_str(),
            &asked[3].body
        ),
        ("gzip", &packed.into())
    );
    assert_eq!(
        (header(4, "content-type").unwrap().as_str(), &asked[4].body),
        ("application/x-ndjson", &lines.into())
    );
}

#[tokio::test]
async fn submit_streams_a_large_file() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    host.on(
        "POST /v1/bulk",
        Reply::new(
            202,
            execution("queued", false, json!({"waiting": 1, "succeeded": 0})),
        ),
    );
    let line = format!("{{\"object_ids\":[\"{}\"]}}\n", "x".repeat(100));
    let text = line.repeat(10_000);
    let ended = place
        .run_with(&["submit", "-", "--url", &host.url], text.as_bytes())
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The fake's default limit is 2 MB.
    assert_eq!(host.asked()[0].body, text);
}

#[tokio::test]
async fn local_key_is_found() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    place.write("egression-data/admin.key", "egk_local\n");
    place.write("elsewhere/admin.key", "egk_else\n");
    host.on("GET /v1/keys", Reply::new(200, json!({"items": []})));
    place.run(&["key", "list", "--url", &host.url]).await;
    place
        .run(&["key", "list", "--url", &host.url, "--data-dir", "elsewhere"])
        .await;
    let keys: Vec<_> = host
        .asked()
        .into_iter()
        .map(|asked| asked.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["Bearer egk_local", "Bearer egk_else"]);
}
