//! `/metrics`, compared with the logs of the shop, the source and the client.

use std::time::Duration;

use egression_sandbox::ScenarioChange;
use egression_tests::binary;
use egression_tests::process::Running;
use egression_tests::rest::Rest;
use egression_tests::source::{MetadataApi, SourceObject};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{CHANNEL, PATIENCE, SOURCE_TOKEN, Setup, category, category_job, source};

struct Page(String);

impl Page {
    async fn of(rest: &Rest) -> Self {
        let answer = rest
            .send(rest.request(reqwest::Method::GET, "/metrics"))
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        assert!(
            answer
                .header("content-type")
                .starts_with("text/plain; version=0.0.4")
        );
        Self(answer.text)
    }

    /// The sum of all lines of a metric with these labels; none without a matching line.
    fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |line: &&str| {
            let (name, rest) = line.split_once(['{', ' ']).unwrap_or((line, ""));
            name == metric
                && labels
                    .iter()
                    .all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        let lines: Vec<f64> = self
            .0
            .lines()
            .filter(fits)
            .map(|line| {
                line.rsplit_once(' ')
                    .unwrap()
                    .1
                    .parse()
                    .expect("a value is a number")
            })
            .collect();
        (!lines.is_empty()).then(|| lines.iter().sum())
    }

    fn expect(&self, metric: &str, labels: &[(&str, &str)], value: u64) {
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let value = value as f64;
        assert_eq!(
            self.value(metric, labels),
            Some(value),
            "{metric} {labels:?} in\n{}",
            self.0
        );
    }
}

fn object(id: &str) -> SourceObject {
    let body = serde_json::value::to_raw_value(&category(id)).unwrap();
    SourceObject {
        id: id.to_owned(),
        object_type: "category".to_owned(),
        revision: 1,
        body,
    }
}

fn ask(id: &str) -> Value {
    json!({"source": "pim", "object_type": "category", "object_ids": [id]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_every_event() {
    let api = MetadataApi::start([object("a"), object("b")], SOURCE_TOKEN)
        .await
        .unwrap();
    let harness = Setup {
        more: source(&api.url(), ""),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    // Two existing objects, a missing one, an inline one, and a line without an object.
    let lines = vec![
        ask("a"),
        ask("b"),
        ask("missing"),
        category_job("inline", &category("inline")),
        json!({"object_type": "nothing", "object_ids": ["x"]}),
    ];
    let execution = harness.bulk(json!({"full": false}), lines).await.unwrap();
    let view = harness.done(&execution).await.unwrap();
    assert_eq!(
        (&view["counts"]["succeeded"], &view["counts"]["rejected"]),
        (&json!(3), &json!(2)),
        "{view}"
    );
    let single = harness
        .submit(category_job("single", &category("single")))
        .await
        .unwrap();
    harness.expect_all_succeeded(&single, 1).await.unwrap();

    let page = Page::of(&harness.rest).await;
    page.expect("egression_jobs_submitted_total", &[("channel", CHANNEL)], 5);
    page.expect("egression_items_refused_total", &[], 1);
    page.expect(
        "egression_jobs_ended_total",
        &[("channel", CHANNEL), ("state", "succeeded")],
        4,
    );
    page.expect(
        "egression_jobs_ended_total",
        &[("channel", CHANNEL), ("state", "rejected")],
        1,
    );
    page.expect("egression_jobs_ended_total", &[], 5);
    page.expect("egression_jobs_unfinished", &[], 0);

    // The calls of the connector, compared with the item counts of the destination.
    let calls = harness.log.calls().await.unwrap();
    page.expect(
        "egression_connector_items_total",
        &[("connector", "sandbox")],
        calls.iter().map(|call| call.items).sum(),
    );
    let delivered = page.value(
        "egression_connector_calls_total",
        &[("call", "deliver"), ("outcome", "answered")],
    );
    assert!(
        delivered.is_some_and(|calls| (2.0..=4.0).contains(&calls)),
        "{delivered:?}"
    );
    assert_eq!(
        page.value(
            "egression_connector_call_duration_seconds_count",
            &[("call", "deliver")]
        ),
        delivered
    );
    page.expect(
        "egression_compile_duration_seconds_count",
        &[("origin", "compiler")],
        1,
    );
    page.expect("egression_instances", &[("state", "busy")], 0);

    // The requests of the gate, compared with the logs of shop and source.
    let (asked, _) = api.asked();
    let answered = calls
        .iter()
        .filter(|call| (200..300).contains(&call.status))
        .count() as u64;
    assert!(answered > 2, "a token and two writes at least");
    page.expect(
        "egression_gate_requests_total",
        &[("channel", CHANNEL), ("status", "2xx")],
        answered,
    );
    page.expect(
        "egression_gate_request_duration_seconds_count",
        &[("channel", CHANNEL)],
        calls.len() as u64,
    );
    page.expect(
        "egression_limit_wait_seconds_count",
        &[("channel", CHANNEL)],
        calls.len() as u64,
    );
    page.expect(
        "egression_source_requests_total",
        &[("source", "pim")],
        asked,
    );
    page.expect(
        "egression_source_request_duration_seconds_count",
        &[("source", "pim")],
        asked,
    );
    page.expect(
        "egression_source_objects_total",
        &[("source", "pim"), ("outcome", "read")],
        2,
    );
    page.expect(
        "egression_source_objects_total",
        &[("source", "pim"), ("outcome", "rejected")],
        1,
    );

    // The commits of the store agree in every metric.
    let commits = page.value("egression_store_commits_total", &[("outcome", "committed")]);
    assert!(commits.is_some_and(|commits| commits >= 5.0), "{commits:?}");
    assert_eq!(
        page.value("egression_store_commit_rows_count", &[]),
        commits
    );
    assert_eq!(
        page.value("egression_store_commit_duration_seconds_count", &[]),
        commits
    );

    page.expect(
        "egression_http_requests_total",
        &[("method", "POST"), ("route", "/v1/bulk"), ("status", "202")],
        1,
    );
    page.expect(
        "egression_http_requests_total",
        &[("method", "POST"), ("route", "/v1/jobs"), ("status", "202")],
        1,
    );
    assert!(
        page.value(
            "egression_http_request_duration_seconds_count",
            &[("route", "/v1/executions/{id}")]
        )
        .is_some()
    );
    page.expect(
        "egression_connections",
        &[("channel", CHANNEL), ("state", "active")],
        1,
    );
    page.expect("egression_build_info", &[], 1);
    for id in [execution.as_str(), "missing", "inline"] {
        assert!(!page.0.contains(id), "{id} is a label in\n{}", page.0);
    }
    for line in page.0.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(
            page.0.contains(&format!("# HELP {name} ")),
            "{name} has no help"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_show_a_parked_connection() {
    let harness = Setup {
        server: "[server.dispatch]\nprobe_min_ms = 600000\nprobe_max_ms = 600000\n".to_owned(),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let credentials = egression_sandbox::Credentials {
        client_secret: "another".to_owned(),
        ..egression_sandbox::Credentials::default()
    };
    harness
        .log
        .change(&ScenarioChange {
            credentials: Some(credentials),
            ..ScenarioChange::default()
        })
        .await
        .unwrap();
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    harness.until_waits(&execution, "parked").await.unwrap();
    let page = Page::of(&harness.rest).await;
    page.expect(
        "egression_connections",
        &[("channel", CHANNEL), ("state", "parked")],
        1,
    );
    page.expect("egression_jobs_unfinished", &[], 1);
    page.expect(
        "egression_gate_requests_total",
        &[("channel", CHANNEL), ("status", "4xx")],
        1,
    );
    page.expect(
        "egression_gate_requests_total",
        &[("channel", CHANNEL), ("status", "credential_refused")],
        1,
    );
    assert_eq!(
        page.value(
            "egression_connections",
            &[("channel", CHANNEL), ("state", "active")]
        ),
        None
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_can_have_their_own_address() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary::egression().unwrap());
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--operations-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(directory.path());
    let host = Running::start("host", command, directory.path())
        .await
        .unwrap();
    let operations = tokio::time::timeout(PATIENCE, async {
        loop {
            let log = std::fs::read_to_string(directory.path().join("host.log")).unwrap();
            if let Some(url) = log
                .lines()
                .find_map(|line| line.strip_prefix("operations on "))
            {
                return url.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let operations = Rest::new(operations.await.unwrap(), None).unwrap();
    let api = Rest::new(host.url(), None).unwrap();
    assert_eq!(api.get_status("/metrics").await, Some(404));
    // Without a key, which the API would require.
    let page = Page::of(&operations).await;
    page.expect(
        "egression_http_requests_total",
        &[("method", "GET"), ("route", "none"), ("status", "404")],
        1,
    );
    page.expect("egression_build_info", &[], 1);
}
