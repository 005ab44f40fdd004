//! `POST /v1/jobs`.

use super::harness::*;
use crate::store::documents::DocumentName;

/// Submissions are waited for.
fn waiting() -> ApiSettings {
    ApiSettings {
        sync_wait_ms: 60_000,
        ..ApiSettings::default()
    }
}

#[tokio::test]
async fn single_job_is_durable_when_the_202_is_sent() {
    let mut host = Host::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut body = job("4711");
    body["context"] = json!({"run": "1"});
    let answer = host.post("/v1/jobs", body).with("traceparent", trace).await;
    answer
        .expect(202)
        .has_header("location", &path(&answer.json()))
        .has_header("operation-location", &path(&answer.json()))
        .has_header("retry-after", "1")
        .has_header("trace-id", "4bf92f3577b34da6a3ce929d0e0e4736")
        .shows("/status", "queued")
        .shows("/counts/waiting", 1)
        .shows("/context/run", "1");
    let seq = host.woken.recv().await.unwrap();
    let stored = host.state.store.execution(seq).await.unwrap().unwrap();
    assert_eq!(stored.row.traceparent.as_deref(), Some(trace));
}

#[tokio::test]
async fn single_job_that_ends_in_time_is_a_200_with_its_outcome() {
    let mut host = Host::with(waiting()).await;
    let store = host.state.store.clone();
    let mut woken = std::mem::replace(&mut host.woken, Woken(mpsc::channel(1).1));
    let settling =
        tokio::spawn(async move { reject(&store, woken.recv().await.unwrap().job(0)).await });
    let answer = host
        .post("/v1/jobs", job("4711"))
        .with("prefer", "wait=30")
        .await;
    settling.await.unwrap();
    answer
        .expect(200)
        .has_header("preference-applied", "wait=30")
        .shows("/status", "failed")
        .shows("/done", true)
        .shows("/jobs/0/state", "rejected")
        .shows("/jobs/0/problem/code", "source.not_found");
}

#[tokio::test]
async fn respond_async_does_not_wait() {
    let host = Host::with(waiting()).await;
    let answer = host
        .post("/v1/jobs", job("1"))
        .with("prefer", "respond-async")
        .await;
    answer
        .expect(202)
        .has_header("preference-applied", "respond-async");
    let mut several = job("1");
    several["channels"] = json!(["shop-de", "shop-fr"]);
    several["object_ids"] = json!(["1", "2"]);
    several["action"] = json!("delete");
    let several = host.post("/v1/jobs", several).await;
    several.expect(202).shows("/counts/total", 4);
    let mut later = job("1");
    later["scheduled_at"] = json!("2999-01-01T00:00:00Z");
    host.post("/v1/jobs", later).await.expect(202);
}

#[tokio::test]
async fn single_job_errors_name_the_place() {
    let host = Host::start().await;
    for (field, value, pointer, code) in [
        (
            "subscription",
            json!("nobody"),
            "/subscription",
            "unknown_subscription",
        ),
        ("subscription", Value::Null, "/subscription", "required"),
        (
            "channels",
            json!(["shop-de", "x"]),
            "/channels/1",
            "unknown_channel",
        ),
        ("source", json!("x"), "/source", "unknown_source"),
        (
            "object_type",
            json!("price"),
            "/object_type",
            "unknown_object_type",
        ),
        ("object_ids", json!([1]), "/object_ids/0", "wrong_type"),
        ("objekt", json!("x"), "/objekt", "unknown_field"),
        ("action", json!("ship"), "/action", "invalid_value"),
        ("context", json!({"": "x"}), "/context", "invalid_value"),
    ] {
        let mut body = job("1");
        body[field] = value;
        let answer = host.post("/v1/jobs", body).await;
        answer.expect(400).problem();
        answer
            .shows("/errors/0/pointer", pointer)
            .shows("/errors/0/code", code);
    }
    for bad in ["", "{", "[]", "{\"action\":}", "nonsense"] {
        assert_eq!(host.raw("/v1/jobs", JSON, bad).await.status, 400, "{bad}");
    }
    assert_eq!(host.executions().await, 0);
}

#[tokio::test]
async fn full_backlog_is_a_503_with_retry_after() {
    let host = Host::with(ApiSettings {
        backlog_max: 1,
        ..settings()
    })
    .await;
    host.post("/v1/jobs", job("1")).await.expect(202);
    let answer = host.post("/v1/jobs", job("2")).await;
    answer
        .expect(503)
        .has_code("backlog_full")
        .has_header("retry-after", "10");
}

#[tokio::test]
async fn disconnect_after_the_last_byte_cancels_nothing() {
    let mut host = Host::with(waiting()).await;
    let waiting = tokio::spawn(host.post("/v1/jobs", job("1")).into_future());
    let execution = host.woken.recv().await.unwrap();
    waiting.abort();
    assert!(waiting.await.is_err());
    let status = host
        .state
        .store
        .execution(execution)
        .await
        .unwrap()
        .unwrap();
    let states = status.progress[0].belt.states;
    assert_eq!(states[JobState::Waiting as usize], 1);
}

#[tokio::test]
async fn byte_order_mark_is_ignored() {
    let host = Host::start().await;
    let lines = format!("{}\n{}\n", json!({"defaults": defaults()}), line("3"));
    for (path, kind, body, status) in [
        ("/v1/jobs", JSON, job("1").to_string(), 202),
        ("/v1/bulk", JSON, bulk([line("2")]).to_string(), 202),
        ("/v1/bulk", NDJSON, lines, 202),
        ("/v1/keys", JSON, json!({"role": "read"}).to_string(), 201),
    ] {
        let marked = host.raw(path, kind, format!("\u{feff}{body}")).await;
        marked.expect(status);
    }
}

#[tokio::test]
async fn job_shows_its_source() {
    let host = Host::start().await;
    let inline = json!({"kind": "inline", "subscriptions": ["acme"]});
    host.put("/v1/sources/inline", inline).await.expect(201);
    for source in [json!("inline"), json!("pim"), Value::Null] {
        let mut job = job("1");
        job["source"] = source.clone();
        job["payload"] = json!({});
        let execution = host.post("/v1/jobs", job).await.json();
        let job = host.get(&job_path(&execution, 0)).await;
        job.shows("/source", source);
    }
}

#[tokio::test]
async fn submission_fails_if_a_connection_was_deleted_meanwhile() {
    let host = Host::start().await;
    // Behind the back of the documents in force, as a removal between the first byte of a request
    // and its last would.
    let name = DocumentName::Connection {
        channel: "shop-de".to_owned(),
        subscription: "acme".to_owned(),
    };
    let store = &host.state.store;
    let deletion = store.delete_document(&name, ManagedBy::Api, None);
    deletion.await.unwrap();
    for (path, body) in [
        ("/v1/jobs", job("1")),
        ("/v1/bulk", bulk([line("1"), line("2")])),
    ] {
        let answer = host.post(path, body).await;
        answer.expect(409).has_code("connection_removed");
    }
    assert_eq!((host.executions().await, store.backlog()), (0, 0));
}
