//! Handing over work: single, bulk, replayed, refused, cut off, too large.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::store::documents::DocumentName;

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_single_job_is_durable_when_the_202_is_sent() {
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
async fn a_single_job_that_ends_in_time_is_a_200_with_its_outcome() {
    let mut host = Host::with(ApiSettings {
        sync_wait_ms: 60_000,
        ..ApiSettings::default()
    })
    .await;
    let store = host.state.store.clone();
    let mut woken = std::mem::replace(&mut host.woken, mpsc::unbounded_channel().1);
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
async fn whoever_prefers_so_is_not_kept_waiting() {
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
    let several = host.post("/v1/jobs", json!({"channels": ["shop-de", "shop-fr"], "object_ids": ["1", "2"], "subscription": "acme", "source": "pim", "action": "delete", "object_type": "product"})).await;
    assert_eq!(
        (several.status.as_u16(), &several.json()["counts"]["total"]),
        (202, &json!(4))
    );
    let mut later = job("1");
    later["scheduled_at"] = json!("2999-01-01T00:00:00Z");
    assert_eq!(host.post("/v1/jobs", later).await.status, 202);
}

#[tokio::test]
async fn a_single_job_that_cannot_be_done_is_refused_with_the_place() {
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
async fn a_bulk_in_json_and_in_lines_becomes_the_same() {
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
async fn bad_items_are_kept_unless_strict_is_preferred() {
    let host = Host::start().await;
    let body = json!({"defaults": defaults(), "jobs": [line("1"), {"object_ids": ["2"], "channels": ["x"]}, {"object_ids": ["3"], "subscription": "other"}, line("4")]});
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
async fn a_bulk_of_nothing_but_bad_items_is_done_at_once() {
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
async fn a_body_that_is_malformed_or_cut_off_leaves_nothing() {
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
async fn bounds_and_types_are_held() {
    let settings = ApiSettings {
        bulk_max_bytes: 5000,
        max_item_bytes: 300,
        max_jobs_per_request: 10,
        ..ApiSettings::default()
    };
    let host = Host::with(settings).await;
    let long = json!({"defaults": defaults(), "jobs": [{"object_ids": ["1"], "client_ref": "x".repeat(300)}]});
    let many: Vec<Value> = (0..11).map(|i| line(&i.to_string())).collect();
    let expanding = json!({"defaults": defaults(), "jobs": [{"object_ids": (0..11).map(|i| i.to_string()).collect::<Vec<_>>()}]});
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

#[tokio::test]
async fn the_same_key_and_body_give_the_same_execution() {
    let host = Host::start().await;
    let bulk = json!({"defaults": defaults(), "jobs": [line("1"), line("2")]});
    for (path, body, other) in [
        ("/v1/jobs", job("1"), job("2")),
        (
            "/v1/bulk",
            bulk,
            json!({"defaults": defaults(), "jobs": [line("1")]}),
        ),
    ] {
        let first = host
            .call(
                "POST",
                path,
                &[("idempotency-key", "run-7")],
                Some(body.clone()),
            )
            .await;
        assert_eq!(first.status, 202, "{}", first.text);
        let again = host
            .call(
                "POST",
                path,
                &[("idempotency-key", "\"run-7\"")],
                Some(body.clone()),
            )
            .await;
        assert_eq!(
            (again.status.as_u16(), &again.json()["id"]),
            (202, &first.json()["id"])
        );
        let reused = host
            .call("POST", path, &[("idempotency-key", "run-7")], Some(other))
            .await;
        assert_eq!(
            (reused.status.as_u16(), reused.problem().as_str()),
            (422, "idempotency_key_reused")
        );
        assert_eq!(
            host.call("POST", path, &[("idempotency-key", "")], Some(body))
                .await
                .status,
            400
        );
    }
    assert_eq!(host.executions().await, 2);
}

#[tokio::test]
async fn a_key_whose_first_request_is_still_received_is_a_conflict() {
    let host = Host::start().await;
    let (send, receive) = mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    let stream = futures_util::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|chunk| (chunk, receive))
    });
    let head = json!({"defaults": defaults()}).to_string() + "\n" + &line("1").to_string() + "\n";
    send.send(Ok(Bytes::from(head.clone()))).unwrap();
    let request = Request::post("/v1/bulk")
        .header("authorization", format!("Bearer {}", host.admin))
        .header("content-type", NDJSON.1);
    let request = request
        .header("idempotency-key", "k")
        .body(Body::from_stream(stream))
        .unwrap();
    let first = tokio::spawn(host.router.clone().oneshot(request));
    let subscription = host
        .state
        .configuration
        .catalogue()
        .subscription("acme")
        .unwrap()
        .id;
    while host.state.receiving.hold(subscription, "bulk", "k").is_ok() {
        tokio::task::yield_now().await;
    }
    let second = host
        .raw(
            "/v1/bulk",
            &[NDJSON, ("idempotency-key", "k")],
            head.clone(),
        )
        .await;
    assert_eq!(
        (second.status.as_u16(), second.problem().as_str()),
        (409, "request_in_progress")
    );
    drop(send);
    assert_eq!(first.await.unwrap().unwrap().status(), 202);
    let third = host
        .raw("/v1/bulk", &[NDJSON, ("idempotency-key", "k")], head)
        .await;
    assert_eq!((third.status.as_u16(), host.executions().await), (202, 1));
}

/// A body that arrives as it is sent.
fn arriving() -> (mpsc::UnboundedSender<Result<Bytes, std::io::Error>>, Body) {
    let (send, receive) = mpsc::unbounded_channel();
    let stream = futures_util::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|chunk| (chunk, receive))
    });
    (send, Body::from_stream(stream))
}

#[tokio::test]
async fn a_request_that_another_overtook_under_its_key_is_a_replay_of_it() {
    for same_body in [true, false] {
        let host = Host::start().await;
        let (send, body) = arriving();
        // Enough to be staged: by then the key was looked up.
        let head: String = std::iter::once(json!({"defaults": defaults()}))
            .chain((0..1000).map(|n| line(&n.to_string())))
            .map(|l| format!("{l}\n"))
            .collect();
        send.send(Ok(Bytes::from(head.clone()))).unwrap();
        let request = Request::post("/v1/bulk")
            .header("authorization", format!("Bearer {}", host.admin))
            .header("content-type", NDJSON.1);
        let late = tokio::spawn(
            host.router
                .clone()
                .oneshot(request.header("idempotency-key", "k").body(body).unwrap()),
        );
        while host.executions().await == 0 {
            tokio::task::yield_now().await;
        }
        // As another node would: this one keeps two requests with one key apart by itself.
        let hash = if same_body {
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, head.as_bytes())
                .as_ref()
                .try_into()
                .unwrap()
        } else {
            [7; 32]
        };
        let new = crate::store::rows::NewExecution {
            id: ExecutionId(uuid::Uuid::new_v4()),
            subscription: host
                .state
                .configuration
                .catalogue()
                .subscription("acme")
                .unwrap()
                .id,
            operation: "bulk",
            context: None,
            traceparent: None,
            created_at: host.state.clock.wall(),
        };
        let first = new.id.to_string();
        let mark = crate::store::rows::IdempotencyMark {
            operation: "bulk",
            key: "k".into(),
            body_hash: hash,
        };
        host.state
            .store
            .submit(new, Vec::new(), Some(mark))
            .await
            .unwrap();
        drop(send);
        let answer = late.await.unwrap().unwrap();
        let status = answer.status();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&text).unwrap();
        if same_body {
            assert_eq!(
                (status.as_u16(), &answer["id"]),
                (200, &json!(first)),
                "it has no jobs, so it is finished: {answer}"
            );
        } else {
            assert_eq!(
                (status.as_u16(), &answer["code"]),
                (422, &json!("idempotency_key_reused")),
                "{answer}"
            );
        }
        assert_eq!(host.executions().await, 1, "what was staged is gone");
        assert_eq!(host.state.store.backlog(), 0);
    }
}

#[tokio::test]
async fn a_replayed_bulk_is_waited_for_as_a_fresh_one() {
    let mut host = Host::start().await;
    let bulk = json!({"defaults": defaults(), "jobs": [line("1")]});
    let first = host
        .call(
            "POST",
            "/v1/bulk",
            &[("idempotency-key", "k")],
            Some(bulk.clone()),
        )
        .await;
    assert_eq!(first.status, 202, "{}", first.text);
    let job = host.woken.recv().await.unwrap().job(0);
    let (store, router, admin) = (
        host.state.store.clone(),
        host.router.clone(),
        host.admin.clone(),
    );
    let request = Request::post("/v1/bulk")
        .header("authorization", format!("Bearer {admin}"))
        .header("content-type", JSON.1);
    let request = request
        .header("idempotency-key", "k")
        .header("prefer", "wait=30")
        .body(Body::from(bulk.to_string()))
        .unwrap();
    let waiting = tokio::spawn(router.oneshot(request));
    // The job ends only once the replay has been read and waits for it.
    while store.changes_waited_for() == 0 {
        tokio::task::yield_now().await;
    }
    reject(&store, job).await;
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["preference-applied"].to_str().unwrap()
        ),
        (200, "wait=30")
    );
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let view: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (&view["id"], &view["jobs"][0]["state"]),
        (&first.json()["id"], &json!("rejected")),
        "{view}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_under_one_key_make_one_execution() {
    let host = Arc::new(Host::start().await);
    for round in 0..10 {
        let key = format!("k{round}");
        let start = Arc::new(tokio::sync::Barrier::new(8));
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (host, key, start) = (Arc::clone(&host), key.clone(), Arc::clone(&start));
            racing.spawn(async move {
                start.wait().await;
                host.call(
                    "POST",
                    "/v1/jobs",
                    &[("idempotency-key", &key)],
                    Some(job("1")),
                )
                .await
            });
        }
        let mut ids = std::collections::BTreeSet::new();
        while let Some(answer) = racing.join_next().await {
            let answer = answer.unwrap();
            match answer.status.as_u16() {
                202 => drop(ids.insert(answer.json()["id"].to_string())),
                409 => assert_eq!(answer.problem(), "request_in_progress"),
                other => panic!("{other}: {}", answer.text),
            }
        }
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    assert_eq!(host.executions().await, 10);
}

#[tokio::test]
async fn a_full_backlog_says_when_to_come_back() {
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
async fn a_client_that_leaves_after_its_last_byte_cancels_nothing() {
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
async fn a_byte_order_mark_before_a_body_is_ignored() {
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
async fn the_source_is_shown_as_it_was_given() {
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
async fn jobs_for_a_connection_that_was_removed_meanwhile_are_refused_as_a_whole() {
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
