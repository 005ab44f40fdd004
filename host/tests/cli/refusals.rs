//! Refusals, outages and usage errors: exit codes and messages.

use serde_json::json;

use crate::binary::Place;
use crate::fake::{FakeHost, Reply};

#[tokio::test]
async fn refusal_lists_every_pointer() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    let problem = json!({"type": "urn:egression:problem:invalid_request", "title": "Bad request",
        "status": 400, "detail": "2 jobs are invalid", "code": "invalid_request",
        "errors": [{"pointer": "/jobs/0/action", "code": "invalid_value",
            "detail": "`fly` is not an action"}, {"pointer": "/jobs/3/channel",
            "code": "unknown_channel", "detail": "no channel `x`"}],
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"});
    host.on("POST /v1/bulk", Reply::new(400, problem));
    place.write("jobs.ndjson", "{}\n");
    let ended = place
        .run(&["submit", "jobs.ndjson", "--strict", "--url", &host.url])
        .await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(4), ""),
        "{ended:?}"
    );
    insta::assert_snapshot!("refused_submission", ended.stderr);
}

#[tokio::test]
async fn exit_code_tells_the_kind_of_failure() {
    let (place, host) = (Place::new(), FakeHost::start().await);
    host.on(
        "GET /v1/jobs/job_2",
        Reply::new(500, json!({"title": "Trouble"})),
    );
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{free}");
    let code = async |arguments: &[&str]| place.run(arguments).await.code;
    assert_eq!(
        code(&["job", "get", "job_1", "--url", &host.url]).await,
        Some(4)
    );
    assert_eq!(
        code(&["job", "get", "job_2", "--url", &host.url]).await,
        Some(1)
    );
    assert_eq!(
        code(&["job", "get", "job_1", "--url", &nobody]).await,
        Some(3)
    );
    assert_eq!(code(&["job", "fly", "job_1"]).await, Some(2));
    assert_eq!(
        code(&["submit", "nowhere.json", "--url", &host.url]).await,
        Some(2)
    );
    assert_eq!(code(&["--help"]).await, Some(0));
    let ended = place.run(&["job", "get", "job_1", "--url", &nobody]).await;
    assert!(
        ended
            .stderr
            .starts_with(&format!("error: cannot reach the host at {nobody}: ")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn list_follows_its_pages_but_not_to_another_host() {
    let (place, host, other) = (
        Place::new(),
        FakeHost::start().await,
        FakeHost::start().await,
    );
    let at = "GET /v1/executions/exe_1/jobs";
    let job = |id: &str| {
        json!({"id": id, "channel": "shop-de", "object": {"type": "product",
        "id": "4711"}, "action": "update", "state": "waiting", "attempts": 0,
        "waiting": {"kind": "limit"}})
    };
    host.on(
        at,
        Reply::new(
            200,
            json!({"items": [job("job_1")], "next": "/v1/executions/exe_1/jobs?cursor=2"}),
        ),
    );
    host.on(
        at,
        Reply::new(
            200,
            json!({"items": [job("job_2")],
        "next": format!("{}/v1/executions/exe_1/jobs?cursor=3", other.url)}),
        ),
    );
    let ended = place
        .run(&[
            "execution",
            "jobs",
            "exe_1",
            "--state",
            "waiting",
            "--limit",
            "5000",
            "--url",
            &host.url,
            "--key",
            "egk_1",
        ])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    insta::assert_snapshot!("jobs_on_a_pipe", ended.stdout);
    assert_eq!(
        host.lines(),
        [
            "GET /v1/executions/exe_1/jobs?state=waiting&limit=100",
            "GET /v1/executions/exe_1/jobs?cursor=2"
        ]
    );
    assert!(other.lines().is_empty());
}
