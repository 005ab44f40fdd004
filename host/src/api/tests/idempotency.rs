//! `Idempotency-Key`.

use super::harness::*;

#[tokio::test]
async fn idempotency_key_returns_the_same_execution() {
    let host = Host::start().await;
    for (path, body, other) in [
        ("/v1/jobs", job("1"), job("2")),
        ("/v1/bulk", bulk([line("1"), line("2")]), bulk([line("1")])),
    ] {
        let post = |key: &str, body: &Value| {
            let call = host.post(path, body.clone());
            call.with("idempotency-key", key)
        };
        let first = post("run-7", &body).await;
        first.expect(202);
        let again = post("\"run-7\"", &body).await;
        again.expect(202).shows("/id", first.json()["id"].clone());
        let reused = post("run-7", &other).await;
        reused.expect(422).has_code("idempotency_key_reused");
        post("", &body).await.expect(400);
    }
    assert_eq!(host.executions().await, 2);
}

#[tokio::test]
async fn idempotency_key_of_a_request_being_received_is_a_409() {
    let host = Host::start().await;
    let (send, body) = arriving();
    let head = json!({"defaults": defaults()}).to_string() + "\n" + &line("1").to_string() + "\n";
    send.send(Ok(Bytes::from(head.clone()))).unwrap();
    let post = |body| {
        host.raw("/v1/bulk", NDJSON, body)
            .with("idempotency-key", "k")
    };
    let first = tokio::spawn(post(body).into_future());
    let subscription = subscription_id(&host.state, "acme");
    while host.state.receiving.hold(subscription, "bulk", "k").is_ok() {
        tokio::task::yield_now().await;
    }
    let second = post(Body::from(head.clone())).await;
    second.expect(409).has_code("request_in_progress");
    drop(send);
    first.await.unwrap().expect(202);
    post(Body::from(head)).await.expect(202);
    assert_eq!(host.executions().await, 1);
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
        let late = host
            .raw("/v1/bulk", NDJSON, body)
            .with("idempotency-key", "k");
        let late = tokio::spawn(late.into_future());
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
            subscription: subscription_id(&host.state, "acme"),
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
        let store = &host.state.store;
        store.submit(new, Vec::new(), Some(mark)).await.unwrap();
        drop(send);
        let answer = late.await.unwrap();
        if same_body {
            // It has no jobs, so it is finished.
            answer.expect(200).shows("/id", first);
        } else {
            answer.expect(422).has_code("idempotency_key_reused");
        }
        assert_eq!(host.executions().await, 1, "what was staged is gone");
        assert_eq!(store.backlog(), 0);
    }
}

#[tokio::test]
async fn idempotency_key_with_wait_waits_for_the_first_execution() {
    let mut host = Host::start().await;
    let post = |host: &Host| {
        let call = host.post("/v1/bulk", bulk([line("1")]));
        call.with("idempotency-key", "k")
    };
    let first = post(&host).await;
    first.expect(202);
    let job = host.woken.recv().await.unwrap().job(0);
    let waiting = tokio::spawn(post(&host).with("prefer", "wait=30").into_future());
    let store = &host.state.store;
    // The job ends only once the replay has been read and waits for it.
    while store.changes_waited_for() == 0 {
        tokio::task::yield_now().await;
    }
    reject(store, job).await;
    let answer = waiting.await.unwrap();
    answer
        .expect(200)
        .has_header("preference-applied", "wait=30")
        .shows("/id", first.json()["id"].clone())
        .shows("/jobs/0/state", "rejected");
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
                host.post("/v1/jobs", job("1"))
                    .with("idempotency-key", &key)
                    .await
            });
        }
        let mut ids = std::collections::BTreeSet::new();
        while let Some(answer) = racing.join_next().await {
            let answer = answer.unwrap();
            if answer.status == 202 {
                ids.insert(answer.json()["id"].to_string());
            } else {
                answer.expect(409).has_code("request_in_progress");
            }
        }
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    assert_eq!(host.executions().await, 10);
}
