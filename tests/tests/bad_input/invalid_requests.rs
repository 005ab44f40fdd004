//! Invalid requests: each is refused with a pointer, and nothing of it is stored.

use std::io::Write as _;

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::redact::text_without_ids;
use egression_tests::rest::{Answer, Rest};
use egression_tests::wire::Wire;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};

const SERVER: &str = "[server.api]\nmax_item_bytes = 65536\nmax_payload_bytes = 16384\n\
    bulk_max_bytes = 33554432\nmax_jobs_per_request = 2000\n";

/// A body with its relevant header fields.
struct Case {
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const LINES_GZIP: &[(&str, &str)] = &[
    ("content-type", "application/x-ndjson"),
    ("content-encoding", "gzip"),
];

fn case(
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: impl Into<Vec<u8>>,
) -> Case {
    Case {
        name,
        fields,
        body: body.into(),
    }
}

#[tokio::test]
async fn invalid_requests_are_refused_with_a_pointer() -> Result<()> {
    let host = hostile::start(SERVER, &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let mut told = Vec::new();
    for (path, cases) in [
        ("/v1/jobs", single()),
        ("/v1/bulk", bulk_json()),
        ("/v1/bulk", bulk_lines()),
    ] {
        for case in cases {
            let request = case.fields.iter().fold(
                rest.request(Method::POST, path),
                |request, (name, value)| request.header(*name, *value),
            );
            let answer = rest.send(request.body(case.body)).await?;
            assert!(
                (400..500).contains(&answer.status),
                "{}: {} {}",
                case.name,
                answer.status,
                answer.text
            );
            assert_problem(&answer);
            told.push(summary(&format!("{path}: {}", case.name), &answer));
        }
    }
    insta::assert_snapshot!("refused_requests", told.join("\n"));
    announced_too_large(&rest).await?;
    nothing_is_stored(&rest).await?;
    let whole = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(
        whole["counts"]["succeeded"], 1,
        "the host stopped working: {whole:#}"
    );
    nested_too_deeply(&rest).await
}

/// JSON that no parser accepts is stored as data. When the host reads it, it rejects only that job.
async fn nested_too_deeply(rest: &Rest) -> Result<()> {
    let mut job = upsert("ok", "deep").to_string();
    let brackets = format!(
        "\"payload\":{{\"a\":{}{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    job = job.replace("\"payload\":{}", &brackets);
    let request = rest
        .request(Method::POST, "/v1/jobs")
        .header("content-type", "application/json")
        .header("prefer", "wait=60");
    let done = rest.send(request.body(job)).await?.expect(200)?.json;
    assert_eq!(
        (
            &done["jobs"][0]["state"],
            &done["jobs"][0]["problem"]["code"]
        ),
        (&json!("rejected"), &json!("body.invalid")),
        "{done:#}"
    );
    Ok(())
}

fn single() -> Vec<Case> {
    let with = |change: Value| {
        let mut job = upsert("ok", "p1");
        job.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        job.to_string()
    };
    let utf16: Vec<u8> = upsert("ok", "p1")
        .to_string()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        case("no body", JSON, ""),
        case("no JSON", JSON, "object_ids=p1"),
        case(
            "JSON that ends early",
            JSON,
            r#"{"subscription":"acme","channel":"ok""#,
        ),
        case(
            "two JSON texts",
            JSON,
            format!("{0}{0}", upsert("ok", "p1")),
        ),
        case("no object", JSON, "7"),
        case(
            "the fields of a job as a list",
            JSON,
            r#"["acme",null,["ok"],null,"delete","product",["p1"]]"#,
        ),
        case("an unknown field", JSON, with(json!({"objects": ["p1"]}))),
        case(
            "an unknown field inside",
            JSON,
            with(json!({"depends_on": [{"type": "product", "id": "p0", "kind": "x"}]})),
        ),
        case(
            "a field twice",
            JSON,
            r#"{"action":"upsert","action":"delete"}"#,
        ),
        case("a number for a text", JSON, with(json!({"channel": 7}))),
        case("a text for a list", JSON, with(json!({"object_ids": "p1"}))),
        case(
            "a number in a list of texts",
            JSON,
            with(json!({"object_ids": ["p1", 4711]})),
        ),
        case(
            "an action that is none",
            JSON,
            with(json!({"action": "ship"})),
        ),
        case(
            "a fraction for a number",
            JSON,
            with(json!({"priority": 1.5})),
        ),
        case("a number out of range", JSON, with(json!({"priority": 11}))),
        case(
            "a day that is no instant",
            JSON,
            with(json!({"scheduled_at": "tomorrow"})),
        ),
        case(
            "an empty object id",
            JSON,
            with(json!({"object_ids": [""]})),
        ),
        case(
            "a control character in an object id",
            JSON,
            with(json!({"object_ids": ["p\u{0}1"]})),
        ),
        case(
            "a body that is no object",
            JSON,
            with(json!({"payload": [1]})),
        ),
        case(
            "a body too large",
            JSON,
            with(json!({"payload": {"text": "x".repeat(20_000)}})),
        ),
        case(
            "a request too large",
            JSON,
            with(json!({"payload": {"text": "x".repeat(70_000)}})),
        ),
        case(
            "an inline body for two objects",
            JSON,
            with(json!({"object_ids": ["p1", "p2"]})),
        ),
        case("Latin-1", JSON, b"{\"client_ref\":\"caf\xe9\"}".as_slice()),
        case("UTF-16", JSON, utf16),
        case(
            "another media type",
            &[("content-type", "text/plain")],
            upsert("ok", "p1").to_string(),
        ),
        case("no media type", &[], upsert("ok", "p1").to_string()),
        case(
            "another content coding",
            &[
                ("content-type", "application/json"),
                ("content-encoding", "br"),
            ],
            upsert("ok", "p1").to_string(),
        ),
        case(
            "called gzip and not",
            &[
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ],
            upsert("ok", "p1").to_string(),
        ),
        case(
            "a key that is none",
            &[
                ("content-type", "application/json"),
                ("idempotency-key", "\"\""),
            ],
            upsert("ok", "p1").to_string(),
        ),
    ]
}

fn bulk_json() -> Vec<Case> {
    let job = upsert("ok", "p1");
    vec![
        case("no jobs", JSON, "{}"),
        case("an empty list", JSON, r#"{"jobs":[]}"#),
        case("jobs that are no list", JSON, r#"{"jobs":{}}"#),
        case("a job that is no object", JSON, r#"{"jobs":[7]}"#),
        case(
            "an unknown member",
            JSON,
            format!(r#"{{"jobs":[{job}],"options":{{}}}}"#),
        ),
        case(
            "defaults behind the jobs",
            JSON,
            format!(r#"{{"jobs":[{job}],"defaults":{{}}}}"#),
        ),
        case(
            "an unknown field in the defaults",
            JSON,
            format!(r#"{{"defaults":{{"chanel":"ok"}},"jobs":[{job}]}}"#),
        ),
        case(
            "an unknown field in the second job",
            JSON,
            format!(r#"{{"jobs":[{job},{{"chanel":"ok"}}]}}"#),
        ),
        case(
            "a wrong type in the third job",
            JSON,
            format!(r#"{{"jobs":[{job},{job},{{"object_ids":[1]}}]}}"#),
        ),
        case(
            "something behind the end",
            JSON,
            format!(r#"{{"jobs":[{job}]}} and more"#),
        ),
        case(
            "a list that ends early",
            JSON,
            format!(r#"{{"jobs":[{job},{job}"#),
        ),
        case(
            "a string that ends early",
            JSON,
            format!(r#"{{"jobs":[{job},{{"client_ref":"ab"#),
        ),
        case(
            "a job too large",
            JSON,
            format!(
                r#"{{"jobs":[{job},{{"client_ref":"{}"}}]}}"#,
                "x".repeat(70_000)
            ),
        ),
    ]
}

fn bulk_lines() -> Vec<Case> {
    let good = |count: usize| {
        (0..count)
            .map(|i| format!("{}\n", upsert("ok", &format!("p{i}"))))
            .collect::<String>()
    };
    let zipped = gzip(good(1200).as_bytes());
    vec![
        case("no line", LINES, "\n\n"),
        case(
            "a line that is no JSON, after 1,500 good ones",
            LINES,
            format!("{}nonsense\n", good(1500)),
        ),
        case(
            "the last line cut in the middle, after 1,500 good ones",
            LINES,
            format!("{}{{\"subscription\":\"acme\",\"ch", good(1500)),
        ),
        case(
            "an unknown field in the second line",
            LINES,
            format!("{}{{\"chanel\":\"ok\"}}\n", good(1)),
        ),
        case(
            "defaults on the second line",
            LINES,
            format!("{}{{\"defaults\":{{}}}}\n", good(1)),
        ),
        case(
            "another member next to the defaults",
            LINES,
            format!("{{\"defaults\":{{}},\"jobs\":[]}}\n{}", good(1)),
        ),
        case("more jobs than one request may have", LINES, good(2001)),
        case(
            "gzip that ends early",
            LINES_GZIP,
            zipped[..zipped.len() / 2].to_vec(),
        ),
        case(
            "gzip without its trailer",
            LINES_GZIP,
            zipped[..zipped.len() - 4].to_vec(),
        ),
        case(
            "gzip with a wrong checksum",
            LINES_GZIP,
            with_broken_checksum(zipped),
        ),
        case(
            "16 MiB of empty lines in 16 KiB of gzip",
            LINES_GZIP,
            gzip(&vec![b'\n'; 16 * 1024 * 1024]),
        ),
        case(
            "33 MiB of empty lines, each of them random enough",
            LINES_GZIP,
            gzip(&blank_lines(33 * 1024 * 1024)),
        ),
        case("other media type", &[("content-type", "text/csv")], good(1)),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Line ends that compress about 100 times, so that the size bound applies before the ratio bound.
fn blank_lines(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let blank = |_| {
        // A linear congruential generator (Numerical Recipes): the same bytes in every run.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 24 == 0 { b'\n' } else { b'\r' }
    };
    (0..bytes).map(blank).collect()
}

/// The last eight bytes are the checksum and the length (RFC 1952).
fn with_broken_checksum(mut zipped: Vec<u8>) -> Vec<u8> {
    let at = zipped.len() - 8;
    zipped[at] ^= 0xff;
    zipped
}

/// A `Content-Length` beyond the bound is refused before the body is sent.
async fn announced_too_large(rest: &Rest) -> Result<()> {
    let wire = Wire::post(
        rest,
        "/v1/bulk",
        &[
            ("Content-Type", "application/x-ndjson"),
            ("Content-Length", "40000000000"),
        ],
    )
    .await?;
    let answer = wire.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("api.bulk_max_bytes"),
        "{answer}"
    );
    Ok(())
}

/// Expects no execution, and no job of any object in the requests.
async fn nothing_is_stored(rest: &Rest) -> Result<()> {
    let executions: Value = rest.get("/v1/executions").await?;
    assert_eq!(executions["items"], json!([]));
    for id in ["p0", "p1", "p2", "p1499"] {
        let jobs: Value = rest
            .get(&format!(
                "/v1/objects?type=product&id={id}&subscription=acme"
            ))
            .await?;
        assert_eq!(jobs["items"], json!([]), "{id}");
    }
    Ok(())
}

/// Expects the shape of every refusal (RFC 9457).
fn assert_problem(answer: &Answer) {
    let text = &answer.text;
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{text}"
    );
    assert_eq!(answer.json["status"], answer.status, "{text}");
    assert_eq!(
        answer.json["type"],
        format!("urn:egression:problem:{}", answer.code()),
        "{text}"
    );
    for field in ["title", "detail", "trace_id"] {
        assert!(
            answer.json[field]
                .as_str()
                .is_some_and(|value| !value.is_empty()),
            "{field}: {text}"
        );
    }
    assert!(answer.json["errors"].is_array(), "{text}");
    if matches!(answer.code(), "malformed_request" | "invalid_request") {
        assert_ne!(answer.json["errors"], json!([]), "{text}");
    }
}

/// One case, as in the snapshot.
fn summary(name: &str, answer: &Answer) -> String {
    let mut lines = format!(
        "{name}\n    {} {}: {}\n",
        answer.status,
        answer.code(),
        text_without_ids(answer.json["detail"].as_str().unwrap_or_default())
    );
    for error in answer.json["errors"].as_array().into_iter().flatten() {
        lines.push_str(&format!("    at {} {}\n", error["pointer"], error["code"]));
    }
    lines
}
