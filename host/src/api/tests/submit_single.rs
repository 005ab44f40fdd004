//! `POST /v1/jobs`.

use super::harness::*;
use crate::store::documents::DocumentName;

#[tokio::test]
async fn single_job_is_durable_when_the_202_is_sent() {
    let mut host = Host::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut body = job("4711");
    body["context"] = json!({"run": "1"});
    let answer = host
        .call("POST", "/v1/jobs", &[("traceparent", trace)], Some(body))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let execution = answer.json();
    let path = format!("/v1/executions/{}", execution["id"].as_str().unwrap());
    assert_eq!(
        (
            answer.header("location"),
            answer.header("operation-location"),
            answer.header("retry-after")
        ),
        (path.as_str(), path.as_str(), "1")
    );
    assert_eq!(
        (
            &execution["status"],
            &execution["counts"]["waiting"],
            &execution["context"]["run"]
        ),
        (&json!("queued"), &json!(1), &json!("1"))
    );
    assert_eq!(
        answer.header("trace-id"),
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    let seq = host.woken.recv().await.unwrap();
    assert_eq!(
        host.state
            .store
            .execution(seq)
            .await
            .unwrap()
            .unwrap()
            .row
            .traceparent
            .as_deref(),
        Some(trace)
    );
}

#[tokio::test]
async fn single_job_that_ends_in_time_is_a_200_with_its_outcome() {
    let mut host = Host::with(ApiSettings {
        sync_wait_ms: 60_000,
        ..ApiSettings::default()
    })
    .await;
    let store = host.state.store.clone();
    let mut woken = std::mem::replace(&mut host.woken, Woken(mpsc::channel(1).1));
    let settling =
        tokio::spawn(async move { reject(&store, woken.recv().await.unwrap().job(0)).await });
    let answer = host
        .call(
            "POST",
            "/v1/jobs",
            &[("prefer", "wait=30")],
            Some(job("4711")),
        )
        .await;
    settling.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("preference-applied"), "wait=30");
    let execution = answer.json();
    assert_eq!(
        (&execution["status"], &execution["done"]),
        (&json!("failed"), &json!(true))
    );
    assert_eq!(
        (
            &execution["jobs"][0]["state"],
            &execution["jobs"][0]["problem"]["code"]
        ),
        (&json!("rejected"), &json!("source.not_found"))
    );
}

#[tokio::test]
async fn respond_async_does_not_wait() {
    let host = Host::with(ApiSettings {
        sync_wait_ms: 60_000,
        ..ApiSettings::default()
    })
    .await;
    let answer = host
        .call(
            "POST",
            "/v1/jobs",
            &[("prefer", "respond-async")],
            Some(job("1")),
        )
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("preference-applied")),
        (202, "respond-async")
    );
    let several = host
        .post(
            "/v1/jobs",
            json!({"channels": ["shop-de", "shop-fr"],
        "object_ids": ["1", "2"], "subscription": "acme", "source": "pim", "action": "delete",
            "object_type": "product"}),
        )
        .await;
    assert_eq!(
        (several.status.as_u16(), &several.json()["counts"]["total"]),
        (202, &json!(4))
    );
    let mut later = job("1");
    later["scheduled_at"] = json!("2999-01-01T00:00:00Z");
    assert_eq!(host.post("/v1/jobs", later).await.status, 202);
}

#[tokio::test]
async fn single_job_errors_name_the_place() {
    let host = Host::start().await;
    for (change, pointer, code) in [
        (
            json!({"subscription": "nobody"}),
            "/subscription",
            "unknown_subscription",
        ),
        (json!({"subscription": null}), "/subscription", "required"),
        (
            json!({"channels": ["shop-de", "x"]}),
            "/channels/1",
            "unknown_channel",
        ),
        (json!({"source": "x"}), "/source", "unknown_source"),
        (
            json!({"action": "create", "object_type": "price"}),
            "/object_type",
            "unknown_object_type",
        ),
        (json!({"object_ids": [1]}), "/object_ids/0", "wrong_type"),
        (json!({"objekt": "x"}), "/objekt", "unknown_field"),
        (json!({"action": "ship"}), "/action", "invalid_value"),
        (json!({"context": {"": "x"}}), "/context", "invalid_value"),
    ] {
        let mut body = job("1");
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let answer = host.post("/v1/jobs", body).await;
        answer.problem();
        let error = &answer.json()["errors"][0];
        assert_eq!(
            (answer.status.as_u16(), &error["pointer"], &error["code"]),
            (400, &json!(pointer), &json!(code)),
            "{}",
            answer.text
        );
    }
    for bad in ["", "{", "[]", "{\"action\":}", "nonsense"] {
        assert_eq!(
            host.raw("/v1/jobs", &[JSON], bad).await.status,
            400,
            "{bad}"
        );
    }
    assert_eq!(host.executions().await, 0);
}

#[tokio::test]
async fn full_backlog_is_a_503_with_retry_after() {
    let host = Host::with(ApiSettings {
        backlog_max: 1,
        sync_wait_ms: 0,
        ..ApiSettings::default()
    })
    .await;
    assert_eq!(host.post("/v1/jobs", job("1")).await.status, 202);
    let answer = host.post("/v1/jobs", job("2")).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.problem().as_str(),
            answer.header("retry-after")
        ),
        (503, "backlog_full", "10")
    );
}

#[tokio::test]
async fn disconnect_after_the_last_byte_cancels_nothing() {
    let mut host = Host::with(ApiSettings {
        sync_wait_ms: 60_000,
        ..ApiSettings::default()
    })
    .await;
    let request = Request::post("/v1/jobs")
        .header("authorization", format!("Bearer {}", host.admin))
        .header("content-type", "application/json");
    let request = request.body(Body::from(job("1").to_string())).unwrap();
    let waiting = tokio::spawn(host.router.clone().oneshot(request));
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
    assert_eq!(
        status.progress[0].belt.states[JobState::Waiting as usize],
        1
    );
}

#[tokio::test]
async fn byte_order_mark_is_ignored() {
    let host = Host::start().await;
    let marked = |text: String| format!("\u{feff}{text}");
    assert_eq!(
        host.raw("/v1/jobs", &[JSON], marked(job("1").to_string()))
            .await
            .status,
        202
    );
    let bulk = json!({"defaults": defaults(), "jobs": [line("2")]}).to_string();
    assert_eq!(
        host.raw("/v1/bulk", &[JSON], marked(bulk)).await.status,
        202
    );
    let lines = format!("{}\n{}\n", json!({"defaults": defaults()}), line("3"));
    assert_eq!(
        host.raw(
            "/v1/bulk",
            &[("content-type", "application/x-ndjson")],
            marked(lines)
        )
        .await
        .status,
        202
    );
    assert_eq!(
        host.raw(
            "/v1/keys",
            &[JSON],
            marked(json!({"role": "read"}).to_string())
        )
        .await
        .status,
        201
    );
}

#[tokio::test]
async fn job_shows_its_source() {
    let host = Host::start().await;
    let inline = json!({"kind": "inline"});
    assert_eq!(
        host.call("PUT", "/v1/sources/inline", &[], Some(inline))
            .await
            .status,
        201
    );
    for (source, payload) in [
        (json!("inline"), json!({})),
        (json!("pim"), json!({})),
        (Value::Null, json!({})),
    ] {
        let mut job = job("1");
        job["source"] = source.clone();
        job["payload"] = payload;
        let execution = host.post("/v1/jobs", job).await.json();
        let jobs = host
            .get(&format!(
                "/v1/executions/{}/jobs",
                execution["id"].as_str().unwrap()
            ))
            .await
            .json();
        assert_eq!(jobs["items"][0]["source"], source, "{jobs}");
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
    host.state
        .store
        .delete_document(&name, ManagedBy::Api, None)
        .await
        .unwrap();
    for (path, body) in [
        ("/v1/jobs", job("1")),
        (
            "/v1/bulk",
            json!({"defaults": defaults(), "jobs": [line("1"), line("2")]}),
        ),
    ] {
        let answer = host.post(path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (409, "connection_removed"),
            "{}",
            answer.text
        );
    }
    assert_eq!(
        (host.executions().await, host.state.store.backlog()),
        (0, 0)
    );
}
