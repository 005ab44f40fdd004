//! `POST /v1/bulk`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::harness::*;

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn bulk_is_the_same_in_json_lines_and_gzip() {
    let host = Host::start().await;
    let many: Vec<Value> = (0..2500).map(|i| line(&i.to_string())).collect();
    let answer = host
        .post("/v1/bulk", json!({"defaults": defaults(), "jobs": many}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["counts"]["total"]),
        (202, &json!(2500)),
        "{}",
        answer.text
    );
    let mut text = vec![json!({"defaults": defaults()})];
    text.extend(many);
    let answer = host.raw("/v1/bulk", &[NDJSON], lines(&text)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["counts"]["total"]),
        (202, &json!(2500)),
        "{}",
        answer.text
    );
    assert_eq!(
        answer.header("operation-location"),
        answer.header("location")
    );
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines(&text).as_bytes()).unwrap();
    let answer = host
        .raw(
            "/v1/bulk",
            &[NDJSON, ("content-encoding", "gzip")],
            encoder.finish().unwrap(),
        )
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["counts"]["total"]),
        (202, &json!(2500)),
        "{}",
        answer.text
    );
    let belts = &answer.json()["channels"][0];
    assert_eq!(
        (
            &belts["channel"],
            &belts["belt"],
            &belts["belts"][0]["types"]
        ),
        (&json!("shop-de"), &json!(2), &json!(["product"]))
    );
    assert_eq!(
        belts["waiting"],
        json!([{"kind": "turn", "key": null, "until": null, "jobs": 2500}])
    );
}

#[tokio::test]
async fn bulk_stores_invalid_items_unless_strict() {
    let host = Host::start().await;
    let body = json!({"defaults": defaults(), "jobs": [line("1"), {"object_ids": ["2"],
        "channels": ["x"]}, {"object_ids": ["3"], "subscription": "other"}, line("4")]});
    let answer = host
        .call(
            "POST",
            "/v1/bulk",
            &[("prefer", "handling=strict")],
            Some(body.clone()),
        )
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (400, "items_refused")
    );
    let places: Vec<_> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["pointer"].clone())
        .collect();
    assert_eq!(places, ["/jobs/1/channels/0", "/jobs/2/subscription"]);
    assert_eq!(host.executions().await, 0);

    let answer = host.post("/v1/bulk", body).await;
    let execution = answer.json();
    assert_eq!(
        (
            answer.status.as_u16(),
            &execution["counts"]["total"],
            &execution["counts"]["rejected"]
        ),
        (202, &json!(4), &json!(2))
    );
    assert_eq!(execution["errors"].as_array().unwrap().len(), 2);
    let failed = host
        .get(execution["links"]["failed"].as_str().unwrap())
        .await
        .json();
    let first = &failed["items"][0];
    assert_eq!(
        (&first["index"], &first["state"], &first["channel"]),
        (&json!(1), &json!("rejected"), &Value::Null),
        "{first}"
    );
    assert_eq!(
        (&first["problem"]["code"], &first["problem"]["pointer"]),
        (&json!("unknown_channel"), &json!("/jobs/1/channels/0"))
    );
    assert_eq!(
        first["excerpt"],
        json!(r#"{"channels":["x"],"object_ids":["2"]}"#)
    );
    assert_eq!(first["object"], json!({"type": "product", "id": "2"}));
}

#[tokio::test]
async fn bulk_of_only_invalid_items_is_done_at_once() {
    let host = Host::start().await;
    let answer = host
        .post(
            "/v1/bulk",
            json!({"defaults": defaults(), "jobs": [{"object_ids": []}]}),
        )
        .await;
    let execution = answer.json();
    assert_eq!(
        (
            answer.status.as_u16(),
            &execution["status"],
            &execution["done"]
        ),
        (202, &json!("failed"), &json!(true))
    );
    assert!(!answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn bulk_that_is_malformed_or_incomplete_stores_nothing() {
    let host = Host::start().await;
    let many: Vec<Value> = (0..1500).map(|i| line(&i.to_string())).collect();
    let whole = json!({"defaults": defaults(), "jobs": many}).to_string();
    let cut = &whole[..whole.len() - 10];
    let mut text = lines(&[json!({"defaults": defaults()})]) + &lines(&many);
    text.truncate(text.len() - 5);
    for (body, kind, pointer) in [
        (cut.to_owned(), JSON, None),
        (text, NDJSON, Some("/jobs/1499/object_ids/0")),
        (
            whole.replace(
                "{\"object_ids\":[\"17\"]}",
                "{\"object_ids\":[\"17\"],\"action\":7}",
            ),
            JSON,
            Some("/jobs/17/action"),
        ),
        (
            whole.replace("{\"object_ids\":[\"1200\"]}", "{\"object_idz\":[\"17\"]}"),
            JSON,
            Some("/jobs/1200/object_idz"),
        ),
        (whole.replace("\"jobs\"", "\"job\""), JSON, Some("/job")),
        ("{\"jobs\":[]}".to_owned(), JSON, Some("/jobs")),
        (String::new(), NDJSON, Some("/jobs")),
        (
            "{\"defaults\":{\"action\":\"x\"},\"jobs\":[]}".to_owned(),
            JSON,
            Some("/defaults/action"),
        ),
        (
            "{\"jobs\":[{\"object_ids\":[\"1\"]}]}".to_owned(),
            JSON,
            Some("/jobs/0/subscription"),
        ),
        (
            "{\"defaults\":{\"subscription\":\"nobody\"},\"jobs\":[{}]}".to_owned(),
            JSON,
            Some("/defaults/subscription"),
        ),
    ] {
        let answer = host.raw("/v1/bulk", &[kind], body).await;
        answer.problem();
        assert_eq!(answer.status, 400, "{}", answer.text);
        if let Some(pointer) = pointer {
            assert_eq!(
                answer.json()["errors"][0]["pointer"],
                pointer,
                "{}",
                answer.text
            );
        }
    }
    let broken: Vec<Result<Bytes, std::io::Error>> = vec![
        Ok(Bytes::from(whole[..whole.len() - 100].to_owned())),
        Err(std::io::Error::other("reset")),
    ];
    let answer = host
        .raw(
            "/v1/bulk",
            &[JSON],
            Body::from_stream(futures_util::stream::iter(broken)),
        )
        .await;
    assert_eq!(answer.problem(), "body_cut_off");
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
    let long = json!({"defaults": defaults(), "jobs": [{"object_ids": ["1"],
        "client_ref": "x".repeat(300)}]});
    let many: Vec<Value> = (0..11).map(|i| line(&i.to_string())).collect();
    let expanding = json!({"defaults": defaults(),
        "jobs": [{"object_ids": (0..11).map(|i| i.to_string()).collect::<Vec<_>>()}]});
    for body in [
        long,
        json!({"defaults": defaults(), "jobs": many}),
        expanding,
    ] {
        let answer = host.post("/v1/bulk", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (413, "too_large"),
            "{}",
            answer.text
        );
    }
    assert_eq!(
        host.raw("/v1/bulk", &[JSON], " ".repeat(5001)).await.status,
        413
    );
    assert_eq!(
        host.raw("/v1/jobs", &[JSON], " ".repeat(301)).await.status,
        413
    );
    assert_eq!(
        host.raw("/v1/bulk", &[("content-type", "text/csv")], "a;b")
            .await
            .problem(),
        "unsupported_media_type"
    );
    assert_eq!(host.raw("/v1/bulk", &[], "{}").await.status, 415);
    assert_eq!(host.raw("/v1/jobs", &[NDJSON], "{}").await.status, 415);
    assert_eq!(
        host.raw("/v1/bulk", &[JSON, ("content-encoding", "br")], "{}")
            .await
            .status,
        415
    );
    assert_eq!(
        host.raw("/v1/bulk", &[JSON, ("content-encoding", "gzip")], "{}")
            .await
            .status,
        400
    );
    assert_eq!(host.executions().await, 0);
}
