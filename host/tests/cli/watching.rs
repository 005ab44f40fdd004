//! `--watch` and `--wait`: long polls, lines on standard error, exit codes.

use serde_json::{Value, json};

use crate::binary::Place;
use crate::fake::{FakeHost, Reply, execution};

#[tokio::test]
async fn watch_uses_long_polls() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let done = execution(
        "succeeded_with_errors",
        true,
        json!({"waiting": 0, "succeeded": 2, "rejected": 1}),
    );
    host.on(
        "POST /v1/bulk",
        Reply::new(
            202,
            execution("queued", false, json!({"waiting": 3, "succeeded": 0})),
        ),
    );
    let at = "GET /v1/executions/exe_1";
    host.on(
        at,
        Reply::new(
            200,
            execution("running", false, json!({"waiting": 2, "succeeded": 1})),
        )
        .with("etag", "\"1\""),
    );
    host.on(at, Reply::new(304, Value::Null).with("etag", "\"1\""));
    host.on(at, Reply::new(200, done.clone()).with("etag", "\"2\""));
    place.write("jobs.ndjson", "{}\n");
    let ended = place
        .run(&[
            "submit",
            "jobs.ndjson",
            "--watch",
            "--output",
            "json",
            "--url",
            &host.url,
        ])
        .await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), done);
    assert_eq!(ended.stdout.lines().count(), 1);
    insta::assert_snapshot!("watch_lines", ended.stderr);

    let asked = host.asked();
    let header = |index: usize, name: &str| {
        asked[index]
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!(
        (header(1, "if-none-match"), header(1, "prefer")),
        (None, None)
    );
    assert_eq!(
        (header(2, "if-none-match"), header(2, "prefer")),
        (Some("\"1\""), Some("wait=30"))
    );
    assert_eq!(header(3, "if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn watch_survives_a_restart() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let at = "GET /v1/executions/exe_1";
    host.on(
        at,
        Reply::new(
            200,
            execution("running", false, json!({"waiting": 1, "succeeded": 0})),
        ),
    );
    host.on(
        at,
        Reply::new(503, json!({"title": "Starting", "code": "starting"})),
    );
    host.on(
        at,
        Reply::new(
            200,
            execution("succeeded", true, json!({"waiting": 0, "succeeded": 1})),
        ),
    );
    let ended = place
        .run(&["execution", "get", "exe_1", "--watch", "--url", &host.url])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("503 Service Unavailable: Starting (starting); retrying\n"),
        "{}",
        ended.stderr
    );
    insta::assert_snapshot!("watch_end_on_a_pipe", ended.stdout);
}

#[tokio::test]
async fn wait_succeeds_when_the_time_is_up() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let running = execution("running", false, json!({"waiting": 1, "succeeded": 0}));
    host.on("GET /v1/executions/exe_1", Reply::new(200, running.clone()));
    let ended = place
        .run(&[
            "execution",
            "get",
            "exe_1",
            "--wait",
            "1",
            "--output",
            "json",
            "--url",
            &host.url,
        ])
        .await;
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&ended.stdout).unwrap(),
        running
    );
}

#[tokio::test]
async fn interrupted_watch_reports_it() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    host.on(
        "GET /v1/executions/exe_1",
        Reply::new(
            200,
            execution("running", false, json!({"waiting": 1, "succeeded": 0})),
        ),
    );
    let mut child = place
        .command(&["execution", "get", "exe_1", "--watch", "--url", &host.url])
        .spawn()
        .unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(
        lines
            .next_line()
            .await
            .unwrap()
            .unwrap()
            .starts_with("exe_1 running 0/1")
    );
    let pid = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let last = lines.next_line().await.unwrap().unwrap();
    assert_eq!(
        last,
        "error: interrupted; the host continues with accepted jobs"
    );
}
