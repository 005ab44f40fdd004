//! Status, long poll, lists, events, cancel and pause, and what tenants see.

use super::harness::*;

async fn submit(host: &Host, ids: &[&str]) -> Value {
    let jobs: Vec<Value> = ids.iter().map(|id| line(id)).collect();
    let mut shared = defaults();
    shared["context"] = json!({"run": "7"});
    host.post("/v1/bulk", json!({"defaults": shared, "jobs": jobs}))
        .await
        .json()
}

fn path(view: &Value) -> String {
    format!("/v1/executions/{}", view["id"].as_str().unwrap())
}

#[tokio::test]
async fn execution_is_304_until_it_changes_and_a_long_poll_waits_for_that() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1", "2"]).await;
    let seq = host.woken.recv().await.unwrap();
    let first = host.get(&path(&execution)).await;
    assert_eq!(
        (first.status.as_u16(), first.header("retry-after")),
        (200, "1")
    );
    let tag = first.header("etag").to_owned();
    let known = host
        .call("GET", &path(&execution), &[("if-none-match", &tag)], None)
        .await;
    assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
    let waited = host
        .call(
            "GET",
            &path(&execution),
            &[("if-none-match", &tag), ("prefer", "wait=0")],
            None,
        )
        .await;
    assert_eq!(waited.status, 304);
    let store = host.state.store.clone();
    let settling = tokio::spawn(async move { reject(&store, seq.job(0)).await });
    let changed = host
        .call(
            "GET",
            &path(&execution),
            &[("if-none-match", &tag), ("prefer", "wait=30")],
            None,
        )
        .await;
    settling.await.unwrap();
    assert_eq!(
        (
            changed.status.as_u16(),
            &changed.json()["counts"]["rejected"]
        ),
        (200, &json!(1))
    );
    host.reject(seq.job(1)).await;
    let done = host
        .call("GET", &path(&execution), &[("prefer", "wait=30")], None)
        .await;
    assert_eq!(
        (&done.json()["status"], done.header("retry-after")),
        (&json!("failed"), "")
    );
    assert_eq!(
        done.json()["errors"],
        json!([{"code": "source.not_found", "state": "rejected", "count": 2,
            "example": format!("job_{}00000", &execution["id"].as_str().unwrap()[4..])}])
    );
    assert_eq!(done.json()["links"]["cancel"], Value::Null);
    // What is done does not change any more: there is nothing to wait for. (A wait would outlast
    // the test's own patience.)
    let last = done.header("etag").to_owned();
    let known = [("if-none-match", last.as_str()), ("prefer", "wait=60")];
    let again = tokio::time::timeout(
        std::time::Duration::from_secs(30),
        host.call("GET", &path(&execution), &known, None),
    )
    .await
    .unwrap();
    assert_eq!(
        (again.status.as_u16(), again.header("etag")),
        (304, last.as_str())
    );
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
        seen.extend(
            page.json()["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["id"].clone()),
        );
        next = page.json()["next"].as_str().map(str::to_owned);
        assert_eq!(page.headers.contains_key("link"), next.is_some());
    }
    ids.reverse();
    assert_eq!(seen, ids);
    assert_eq!(
        host.get("/v1/executions?status=failed").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        host.get("/v1/executions?status=queued,running")
            .await
            .json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        host.get("/v1/executions?context.run=8").await.json()["items"],
        json!([])
    );
    for bad in [
        "status=gone",
        "limit=0",
        "cursor=x",
        "page=2",
        "subscription=a&subscription=b",
    ] {
        assert_eq!(
            host.get(&format!("/v1/executions?{bad}")).await.status,
            400,
            "{bad}"
        );
    }
    assert_eq!(
        host.get("/v1/executions?subscription=nobody").await.status,
        404
    );
}

#[tokio::test]
async fn job_is_found_by_execution_id_and_object() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1", "2", "3"]).await;
    let seq = host.woken.recv().await.unwrap();
    host.reject(seq.job(1)).await;
    let jobs = format!("{}/jobs", path(&execution));
    let page = host.get(&format!("{jobs}?limit=2")).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let rest = host.get(page["next"].as_str().unwrap()).await.json();
    assert_eq!(
        (&rest["items"][0]["object"], &rest["items"][0]["state"]),
        (&json!({"type": "product", "id": "3"}), &json!("waiting"))
    );
    assert_eq!(
        host.get(&format!("{jobs}?state=rejected")).await.json()["items"][0]["index"],
        1
    );
    assert_eq!(
        host.get(&format!("{jobs}?object_id=3")).await.json()["items"][0]["index"],
        2
    );
    assert_eq!(
        host.get(&format!("{jobs}?channel=shop-fr")).await.json()["items"],
        json!([])
    );
    assert_eq!(
        host.get(&format!("{jobs}?channel=nowhere")).await.json()["items"],
        json!([])
    );
    assert_eq!(
        host.get(&format!("{jobs}?channel=shop-de&code=source.not_found"))
            .await
            .json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let report = host
        .call(
            "GET",
            &format!("{jobs}?limit=1"),
            &[("accept", "application/x-ndjson")],
            None,
        )
        .await;
    assert_eq!(
        (report.header("content-type"), report.text.lines().count()),
        ("application/x-ndjson", 3)
    );

    let id = page["items"][1]["id"].as_str().unwrap();
    let one = host.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(
        (
            &one["state"],
            &one["partition_key"],
            &one["belt"],
            &one["source"]
        ),
        (
            &json!("rejected"),
            &json!("product:2"),
            &json!(2),
            &json!("pim")
        )
    );
    assert_eq!(one["problem"]["message"], "the source does not know it");
    let events = host
        .get(&format!("/v1/jobs/{id}/events?limit=1"))
        .await
        .json();
    assert_eq!(
        (&events["items"][0]["stage"], &events["items"][0]["seq"]),
        (&json!("submitted"), &json!(1)),
        "{events}"
    );

    submit(&host, &["2"]).await;
    let history = host
        .get("/v1/objects?type=product&id=2&subscription=acme")
        .await
        .json();
    let states: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|j| j["state"].clone())
        .collect();
    assert_eq!(states, ["waiting", "rejected"]);
    assert_eq!(host.get("/v1/objects?type=product").await.status, 400);
    assert_eq!(
        host.get("/v1/objects?type=product&id=99").await.json()["items"],
        json!([])
    );
}

#[tokio::test]
async fn cancel_and_pause_reach_the_scheduler() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1", "2", "3"]).await;
    host.woken.recv().await.unwrap();
    let at = path(&execution);
    let paused = host.call("POST", &format!("{at}:pause"), &[], None).await;
    assert_eq!(
        (paused.status.as_u16(), &paused.json()["status"]),
        (200, &json!("paused"))
    );
    assert_eq!(
        host.call("POST", &format!("{at}:resume"), &[], None)
            .await
            .json()["status"],
        "queued"
    );
    let job = format!(
        "/v1/jobs/job_{}00001",
        &execution["id"].as_str().unwrap()[4..]
    );
    let cancelled = host.call("POST", &format!("{job}:cancel"), &[], None).await;
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.json()["state"]),
        (200, &json!("cancelled")),
        "{}",
        cancelled.text
    );
    let all = host.call("POST", &format!("{at}:cancel"), &[], None).await;
    assert_eq!(
        (
            all.status.as_u16(),
            &all.json()["status"],
            &all.json()["counts"]["cancelled"]
        ),
        (200, &json!("cancelled"), &json!(3))
    );
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
    assert_eq!(
        host.call("POST", &format!("{at}:cancel"), &[], None)
            .await
            .status,
        200
    );
    assert_eq!(
        host.call("POST", &format!("{at}:pause"), &[], None)
            .await
            .problem(),
        "execution_done"
    );
    assert_eq!(
        host.call("POST", &format!("{at}:explode"), &[], None)
            .await
            .status,
        404
    );
    assert_eq!(host.call("POST", &at, &[], None).await.status, 404);
}

#[tokio::test]
async fn cancel_refuses_a_job_that_has_ended() {
    let mut host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let seq = host.woken.recv().await.unwrap();
    host.reject(seq.job(0)).await;
    let job = format!(
        "/v1/jobs/job_{}00000",
        &execution["id"].as_str().unwrap()[4..]
    );
    let answer = host.call("POST", &format!("{job}:cancel"), &[], None).await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (409, "job_not_waiting")
    );
}

#[tokio::test]
async fn tenant_does_not_see_other_tenants() {
    let host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let other = key(&host.state, Role::Admin, Some("other")).await;
    let job = format!(
        "/v1/jobs/job_{}00000",
        &execution["id"].as_str().unwrap()[4..]
    );
    let at = path(&execution);
    for (method, path) in [
        ("GET", at.clone()),
        ("GET", format!("{at}/jobs")),
        ("GET", job.clone()),
        ("GET", format!("{job}/events")),
        ("POST", format!("{at}:cancel")),
        ("POST", format!("{job}:cancel")),
        ("GET", "/v1/executions?subscription=acme".to_owned()),
        (
            "GET",
            "/v1/objects?type=product&id=1&subscription=acme".to_owned(),
        ),
        ("GET", "/v1/subscriptions/acme".to_owned()),
        ("GET", "/v1/sources/pim".to_owned()),
        ("GET", "/v1/channels/shop-de".to_owned()),
        ("GET", "/v1/channels/shop-de/connections".to_owned()),
        ("GET", "/v1/channels/shop-fr/connections/acme".to_owned()),
        (
            "POST",
            "/v1/channels/shop-fr/connections/acme:pause".to_owned(),
        ),
    ] {
        let answer = host.call_as(&other, method, &path, &[], None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    for path in [
        "/v1/executions",
        "/v1/objects?type=product&id=1",
        "/v1/sources",
    ] {
        assert_eq!(
            host.call_as(&other, "GET", path, &[], None).await.json()["items"],
            json!([]),
            "{path}"
        );
    }
    let refused = host
        .call_as(
            &other,
            "POST",
            "/v1/jobs",
            &[],
            Some(super::harness::job("1")),
        )
        .await;
    assert_eq!(refused.json()["errors"][0]["code"], "unknown_subscription");
    let mut own = super::harness::job("1");
    own["subscription"] = Value::Null;
    own["channels"] = json!(["shop-fr"]);
    let answer = host
        .call_as(&other, "POST", "/v1/jobs", &[], Some(own))
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["subscription"]),
        (202, &json!("other")),
        "{}",
        answer.text
    );
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
    let group = host.get(&path).await.json()["errors"][0]["code"].clone();
    let jobs = host
        .get(&format!("{path}/jobs?code={}", group.as_str().unwrap()))
        .await
        .json();
    let shown = &jobs["items"][0];
    assert_eq!(
        (&shown["state"], &shown["code"]),
        (&json!("failed"), &group)
    );
    assert_eq!(
        (&group, &shown["problem"]["code"]),
        (&json!("retries_exhausted"), &json!("server.error")),
        "the cause stays, too"
    );
}

/// Within less than the wait that was asked for: a wait that nothing ends would pass by running
/// out.
async fn soon<T>(future: impl Future<Output = T>) -> T {
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
            let headers = [("if-none-match", known.as_str()), ("prefer", "wait=60")];
            let (polled, acted) = soon(futures_util::future::join(
                host.call("GET", &path, &headers, None),
                host.call("POST", &format!("{act}:{verb}"), &[], None),
            ))
            .await;
            assert_eq!(acted.status, 200);
            assert_eq!(
                (polled.status.as_u16(), &polled.json()["status"]),
                (200, &json!(status)),
                "{act}:{verb}"
            );
            let known = host
                .call("GET", &path, &[("if-none-match", &known)], None)
                .await;
            assert_eq!(
                (known.status.as_u16(), &known.json()["status"]),
                (200, &json!(status)),
                "{act}:{verb}"
            );
        }
    }
    let known = host.get(&path).await.header("etag").to_owned();
    let id = host
        .state
        .configuration
        .catalogue()
        .connection("acme", "shop-de")
        .unwrap()
        .id;
    let parked = crate::documents::catalogue::ConnectionState::Parked {
        reason: "credential".into(),
    };
    host.state
        .configuration
        .set_connection_state(id, &parked)
        .await
        .unwrap();
    assert_eq!(
        host.call("GET", &path, &[("if-none-match", &known)], None)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn long_poll_ends_when_the_host_stops() {
    let host = Host::start().await;
    let execution = submit(&host, &["1"]).await;
    let path = path(&execution);
    let stop = async { host.ready.send_replace(false) };
    let (waited, _) = soon(futures_util::future::join(
        host.call("GET", &path, &[("prefer", "wait=60")], None),
        stop,
    ))
    .await;
    assert_eq!(
        (waited.status.as_u16(), &waited.json()["done"]),
        (200, &json!(false)),
        "{}",
        waited.text
    );
}
