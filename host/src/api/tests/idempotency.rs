//! `Idempotency-Key`.

use super::harness::*;

#[tokio::test]
async fn idempotency_key_returns_the_same_execution() {
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
async fn idempotency_key_of_a_request_being_received_is_a_409() {
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
async fn idempotency_key_sealed_by_another_request_is_replayed() {
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
        // As another node would: this one keeps two requests with one key apart.
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
async fn idempotency_key_with_wait_waits_for_the_first_execution() {
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
async fn idempotency_key_of_concurrent_requests_creates_one_execution() {
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
