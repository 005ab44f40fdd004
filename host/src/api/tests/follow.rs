//! Status, long poll, lists, events, cancel and pause, and what tenants see.

use futures_util::future::join;

use super::harness::*;

async fn submit(host: &Host, ids: &[&str]) -> Value {
    let jobs: Vec<Value> = ids.iter().map(|id| line(id)).collect();
    let mut shared = defaults();
    shared["context"] = json!({"run": "7"});
    let answer = host.post("/v1/bulk", json!({"defaults": shared, "jobs": jobs}));
    answer.await.json()
}

#[tokio::test]
async fn execution_is_304_until_it_changes_and_a_long_poll_waits_for_that() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1", "2"]).await;
    let seq = host.woken.recv().await.unwrap();
    let poll = || host.get(&path(&execution));
    let first = poll().await;
    first.expect(200).has_header("retry-after", "1");
    let tag = first.header("etag").to_owned();
    let poll_known = || poll().with("if-none-match", &tag);
    assert_eq!(poll_known().await.expect(304).text, "");
    poll_known().with("prefer", "wait=0").await.expect(304);
    let store = host.state.store.clone();
    let settling = tokio::spawn(async move { reject(&store, seq.job(0)).await });
    let changed = poll_known().with("prefer", "wait=30").await;
    settling.await.unwrap();
    changed.expect(200).shows("/counts/rejected", 1);
    host.reject(seq.job(1)).await;
    let done = poll().with("prefer", "wait=30").await;
    let example = &job_path(&execution, 0)["/v1/jobs/".len()..];
    let error = json!({"code": "source.not_found", "state": "rejected", "count": 2,
        "example": example});
    done.has_header("retry-after", "")
        .shows("/status", "failed")
        .shows("/errors", json!([error]))
        .shows("/links/cancel", Value::Null);
    // What is done does not change any more: there is nothing to wait for. (A wait would outlast
    // the test's own patience.)
    let last = done.header("etag");
    let again = poll().with("if-none-match", last).with("prefer", "wait=60");
    soon(again).await.expect(304).has_header("etag", last);
}

#[tokio::test]
async fn list_pages_and_filters() {
    let mut host = Host::start().await;
    let mut ids = Vec::new();
    for i in 0..3 {
        ids.push(submit(&host, &[&i.to_string()]).await["id"].clone());
    }
    let first = host.woken.recv().await.unwrap();
    host.reject(first.job(0)).await;
    let mut seen = Vec::new();
    let mut next = Some("/v1/executions?limit=1&subscription=acme&context.run=7".to_owned());
    while let Some(url) = next {
        let page = host.get(&url).await;
        seen.extend(page.each("id"));
        next = page.json()["next"].as_str().map(str::to_owned);
        assert_eq!(page.headers.contains_key("link"), next.is_some());
    }
    ids.reverse();
    assert_eq!(seen, ids);
    for (filter, count) in [
        ("status=failed", 1),
        ("status=queued,running", 2),
        ("context.run=8", 0),
    ] {
        let page = host.get(&format!("/v1/executions?{filter}")).await;
        assert_eq!(page.items().len(), count, "{filter}");
    }
    for (bad, status) in [
        ("status=gone", 400),
        ("limit=0", 400),
        ("cursor=x", 400),
        ("page=2", 400),
        ("subscription=a&subscription=b", 400),
        ("subscription=nobody", 404),
    ] {
        let answer = host.get(&format!("/v1/executions?{bad}")).await;
        answer.expect(status);
    }
}

#[tokio::test]
async fn job_is_found_by_execution_id_and_object() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1", "2", "3"]).await;
    let seq = host.woken.recv().await.unwrap();
    host.reject(seq.job(1)).await;
    let jobs = format!("{}/jobs", path(&execution));
    let page = host.get(&format!("{jobs}?limit=2")).await;
    assert_eq!(page.each("index"), [0, 1]);
    let next = page.json()["next"].as_str().unwrap().to_owned();
    let rest = host.get(&next).await;
    rest.shows("/items/0/object", json!({"type": "product", "id": "3"}))
        .shows("/items/0/state", "waiting");
    for (filter, indexes) in [
        ("state=rejected", vec![1]),
        ("object_id=3", vec![2]),
        ("channel=shop-fr", vec![]),
        ("channel=nowhere", vec![]),
        ("channel=shop-de&code=source.not_found", vec![1]),
    ] {
        let page = host.get(&format!("{jobs}?{filter}")).await;
        assert_eq!(page.each("index"), indexes, "{filter}");
    }
    let report = host
        .get(&format!("{jobs}?limit=1"))
        .with("accept", NDJSON.1);
    let report = report.await;
    report.has_header("content-type", NDJSON.1);
    assert_eq!(report.text.lines().count(), 3);

    let job = job_path(&execution, 1);
    page.shows("/items/1/id", &job["/v1/jobs/".len()..]);
    let one = host.get(&job).await;
    one.shows("/state", "rejected")
        .shows("/partition_key", "product:2")
        .shows("/belt", 2)
        .shows("/source", "pim")
        .shows("/problem/message", "the source does not know it");
    let events = host.get(&format!("{job}/events?limit=1")).await;
    events
        .shows("/items/0/stage", "submitted")
        .shows("/items/0/seq", 1);

    submit(&host, &["2"]).await;
    let history = host.get("/v1/objects?type=product&id=2&subscription=acme");
    assert_eq!(history.await.each("state"), ["waiting", "rejected"]);
    host.get("/v1/objects?type=product").await.expect(400);
    let unknown = host.get("/v1/objects?type=product&id=99").await;
    unknown.shows("/items", json!([]));
}

#[tokio::test]
async fn cancel_and_pause_reach_the_scheduler() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1", "2", "3"]).await;
    host.woken.recv().await.unwrap();
    let at = path(&execution);
    let paused = host.act(&format!("{at}:pause")).await;
    paused.expect(200).shows("/status", "paused");
    let resumed = host.act(&format!("{at}:resume")).await;
    resumed.shows("/status", "queued");
    let job = job_path(&execution, 1);
    let cancelled = host.act(&format!("{job}:cancel")).await;
    cancelled.expect(200).shows("/state", "cancelled");
    let all = host.act(&format!("{at}:cancel")).await;
    all.expect(200)
        .shows("/status", "cancelled")
        .shows("/counts/cancelled", 3);
    assert_eq!(
        host.woken.acts(),
        [
            "paused true",
            "paused false",
            "changed 1",
            "changed 2",
            "paused false"
        ]
    );
    host.act(&format!("{at}:cancel")).await.expect(200);
    let late = host.act(&format!("{at}:pause")).await;
    late.has_code("execution_done");
    host.act(&format!("{at}:explode")).await.expect(404);
    host.act(&at).await.expect(405);
}

#[tokio::test]
async fn cancel_refuses_a_job_that_has_ended() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let seq = host.woken.recv().await.unwrap();
    host.reject(seq.job(0)).await;
    let job = job_path(&execution, 0);
    let answer = host.act(&format!("{job}:cancel")).await;
    answer.expect(409).has_code("job_not_waiting");
}

#[tokio::test]
async fn tenant_does_not_see_other_tenants() {
    let host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let other = key(&host.state, Role::Admin, Some("other")).await;
    let (at, job_at) = (path(&execution), job_path(&execution, 0));
    for call in [
        host.get(&at),
        host.get(&format!("{at}/jobs")),
        host.get(&job_at),
        host.get(&format!("{job_at}/events")),
        host.act(&format!("{at}:cancel")),
        host.act(&format!("{job_at}:cancel")),
        host.get("/v1/executions?subscription=acme"),
        host.get("/v1/objects?type=product&id=1&subscription=acme"),
        host.get("/v1/subscriptions/acme"),
        host.get("/v1/sources/pim"),
        host.get("/v1/channels/shop-de"),
        host.get("/v1/channels/shop-de/connections"),
        host.get("/v1/channels/shop-fr/connections/acme"),
        host.act("/v1/channels/shop-fr/connections/acme:pause"),
    ] {
        let answer = call.by(&other).await;
        answer.expect(404).has_code("not_found");
    }
    for path in [
        "/v1/executions",
        "/v1/objects?type=product&id=1",
        "/v1/sources",
    ] {
        host.get(path).by(&other).await.shows("/items", json!([]));
    }
    let refused = host.post("/v1/jobs", job("1")).by(&other).await;
    refused.shows("/errors/0/code", "unknown_subscription");
    let mut own = job("1");
    own["subscription"] = Value::Null;
    own["channels"] = json!(["shop-fr"]);
    own["source"] = Value::Null;
    own["payload"] = json!({});
    let answer = host.post("/v1/jobs", own).by(&other).await;
    answer.expect(202).shows("/subscription", "other");
}

#[tokio::test]
async fn job_shows_the_code_that_groups_it() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let job = host.woken.recv().await.unwrap().job(0);
    let to = Transition::Ended {
        end: State::Failed {
            code: FailureCode::RetriesExhausted,
            problem: Problem::new("server.error", "the destination answered 500"),
        },
        block_key: None,
    };
    settle(&host.state.store, job, to).await;
    let path = path(&execution);
    let status = host.get(&path).await;
    status.shows("/errors/0/code", "retries_exhausted");
    let jobs = host
        .get(&format!("{path}/jobs?code=retries_exhausted"))
        .await;
    // The cause stays, too.
    jobs.shows("/items/0/state", "failed")
        .shows("/items/0/code", "retries_exhausted")
        .shows("/items/0/problem/code", "server.error");
}

/// Within less than the wait that was asked for: a wait that nothing ends would pass by running
/// out.
async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), future)
        .await
        .expect("the wait ends with the change")
}

#[tokio::test]
async fn long_poll_ends_with_a_pause() {
    let host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let path = path(&execution);
    for act in [
        "/v1/channels/shop-de",
        "/v1/channels/shop-de/connections/acme",
    ] {
        for (verb, status) in [("pause", "paused"), ("resume", "queued")] {
            let known = host.get(&path).await.header("etag").to_owned();
            let poll = || host.get(&path).with("if-none-match", &known);
            let (polled, acted) = soon(join(
                poll().with("prefer", "wait=60").into_future(),
                host.act(&format!("{act}:{verb}")).into_future(),
            ))
            .await;
            acted.expect(200);
            polled.expect(200).shows("/status", status);
            poll().await.expect(200).shows("/status", status);
        }
    }
    let known = host.get(&path).await.header("etag").to_owned();
    let catalogue = host.state.configuration.catalogue();
    let id = catalogue.connection("acme", "shop-de").unwrap().id;
    let parked = crate::documents::catalogue::ConnectionState::Parked {
        reason: "credential".into(),
    };
    let configuration = &host.state.configuration;
    let parking = configuration.set_connection_state(id, &parked);
    parking.await.unwrap();
    let polled = host.get(&path).with("if-none-match", &known).await;
    polled.expect(200);
}

#[tokio::test]
async fn long_poll_ends_when_the_host_stops() {
    let host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let path = path(&execution);
    let stop = async { host.ready.send_replace(false) };
    let poll = host.get(&path).with("prefer", "wait=60");
    let (waited, _) = soon(join(poll.into_future(), stop)).await;
    waited.expect(200).shows("/done", false);
}
