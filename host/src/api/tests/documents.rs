//! Documents: create, read, change, delete, pause.

use super::harness::*;

const CONNECTION: &str = "/v1/channels/shop-de/connections/acme";

/// A channel of the sandbox connector with more fields.
fn sandbox(mut fields: Value) -> Value {
    fields["connector"] = json!("sandbox");
    fields
}

#[tokio::test]
async fn document_is_created_read_changed_and_deleted() {
    let host = Host::start().await;
    let path = "/v1/channels/new";
    let create = || {
        host.put(path, sandbox(json!({})))
            .with("if-none-match", "*")
    };
    create()
        .await
        .expect(201)
        .has_header("etag", "\"1\"")
        .shows("/status/managed_by", "api");
    create().await.expect(412);
    let mut read = host.get(path).await.json();
    read["merge"] = json!(false);
    let change = || host.put(path, read.clone()).with("if-match", "\"1\"");
    change().await.expect(200).has_header("etag", "\"2\"");
    change().await.has_code("precondition_failed");
    let known = host.get(path).with("if-none-match", "\"2\"").await;
    known.expect(304);
    let stale = host.delete(path).with("if-match", "\"1\"").await;
    stale.expect(412);
    host.delete(path).await.expect(204);
    host.get(path).await.expect(404);
    host.delete(path).await.expect(404);
    let names = host.get("/v1/channels").await.each("name");
    assert_eq!(names, ["shop-de", "shop-fr"]);
}

#[tokio::test]
async fn document_errors_name_the_place() {
    let host = Host::start().await;
    let channel = |fields: Value| ("/v1/channels/a", sandbox(fields));
    for ((path, body), pointer) in [
        (channel(json!({"color": 1})), "/color"),
        (channel(json!({"name": "b"})), "/name"),
        (channel(json!({"max_calls": "many"})), "/max_calls"),
        (("/v1/channels/a", json!({})), ""),
        (channel(json!({"partition": "{shop}"})), "/partition"),
        (("/v1/subscriptions/UPPER", json!({})), "/name"),
        (("/v1/sources/a", json!({"kind": "ftp"})), "/kind"),
    ] {
        let answer = host.put(path, body).await;
        answer.problem();
        answer.expect(400).shows("/errors/0/pointer", pointer);
    }
}

#[tokio::test]
async fn document_refuses_a_list_in_place_of_an_object() {
    let host = Host::start().await;
    let channel = |fields: Value| host.put("/v1/channels/lists", sandbox(fields));
    let connection = |auth: Value| host.put(CONNECTION, json!({"auth": auth}));
    let apply = |text: &'static str| host.raw("/v1/documents:apply", TOML, text);
    for (call, pointer) in [
        (channel(json!({"retry": [8, 1000]})), "/retry"),
        (
            channel(json!({"limits": [["window", 5, 1000]]})),
            "/limits/0",
        ),
        (connection(json!(["bearer", {"stored": true}])), "/auth"),
        (
            connection(json!({"scheme": "bearer", "token": ["env", "TOKEN"]})),
            "/auth",
        ),
        (host.post("/v1/keys", json!(["read"])), ""),
        (
            host.post("/v1/connectors/sandbox:activate", json!(["0.1.0"])),
            "",
        ),
        (
            apply("[[channels]]\nname = \"a\"\nconnector = \"sandbox\"\nretry = [8, 1000]\n"),
            "/channels/0/retry",
        ),
        (
            apply(
                "[[sources]]\nname = \"a\"\nkind = \"http\"\n\
                 limits = [{kind = \"concurrency\", max = 1}, [\"concurrency\", 1]]\n",
            ),
            "/sources/0/limits/1",
        ),
        (
            apply("subscriptions = [[\"acme\", 1]]\n"),
            "/subscriptions/0",
        ),
    ] {
        let answer = call.await;
        answer.expect(400).has_code("malformed_request");
        answer.shows("/errors/0/pointer", pointer);
    }
}

#[tokio::test]
async fn credential_is_write_only() {
    let host = Host::start().await;
    let body = json!({"settings": {"base_url": "https://shop.example"},
        "auth": {"scheme": "bearer", "token": {"value": "hush-hush"}}});
    for call in [
        host.put(CONNECTION, body),
        host.get(CONNECTION),
        host.get("/v1/channels/shop-de/connections"),
    ] {
        let answer = call.await;
        let text = &answer.expect(200).text;
        assert!(
            !text.contains("hush-hush") && text.contains("bearer"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn delete_refuses_unfinished_jobs_unless_it_cancels_them() {
    let host = Host::start().await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let refused = host.delete(CONNECTION).await;
    refused.expect(409).has_code("in_use");
    host.delete("/v1/subscriptions/acme").await.expect(409);
    host.delete("/v1/channels/shop-de?cancel_jobs=perhaps")
        .await
        .expect(400);
    let removed = host.delete("/v1/channels/shop-de?cancel_jobs=true").await;
    removed.expect(204);
    let after = host.get(&path(&execution)).await;
    after
        .shows("/status", "cancelled")
        .shows("/counts/cancelled", 1);
    host.get("/v1/channels/shop-de").await.expect(404);
}

#[tokio::test]
async fn delete_that_is_refused_cancels_nothing() {
    let host = Host::start().await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let channel = "/v1/channels/shop-de?cancel_jobs=true";
    let stale = host.delete(channel).with("if-match", "\"9\"").await;
    stale.has_code("precondition_failed");
    host.store(connection("shop-de", "acme"), ManagedBy::File)
        .await;
    host.delete(channel).await.has_code("managed_by_file");
    host.delete("/v1/subscriptions/acme?cancel_jobs=true")
        .await
        .has_code("managed_by_file");
    let after = host.get(&path(&execution)).await;
    after.shows("/counts/waiting", 1);
}

#[tokio::test]
async fn document_is_created_by_one_of_many_concurrent_requests() {
    let host = Host::start().await;
    let create = |_| {
        let call = host.put("/v1/channels/new", sandbox(json!({})));
        call.with("if-none-match", "*").into_future()
    };
    let answers = futures_util::future::join_all((0..8).map(create)).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412, 412, 412, 412, 412, 412, 412]);
}

#[tokio::test]
async fn etag_changes_with_a_pause_and_still_matches_the_version() {
    let host = Host::start().await;
    for path in ["/v1/channels/shop-de", CONNECTION] {
        let known = host.get(path).await.header("etag").to_owned();
        let paused = host.act(&format!("{path}:pause")).await;
        let again = host.get(path).with("if-none-match", &known).await;
        again.expect(200).has_header("etag", paused.header("etag"));
        // Somebody who read it before the pause may write: nothing that was written has changed.
        for tag in [known.as_str(), again.header("etag")] {
            let put = host.put(path, again.json()).with("if-match", tag).await;
            put.expect(200);
        }
        let resumed = host.act(&format!("{path}:resume")).await;
        resumed.has_header("etag", &known);
    }
}

#[tokio::test]
async fn document_of_the_file_cannot_be_changed() {
    let host = Host::start().await;
    host.store(subscription("filed"), ManagedBy::File).await;
    let path = "/v1/subscriptions/filed";
    let text = "[[subscriptions]]\nname = \"fresh\"\n[[subscriptions]]\nname = \"filed\"\n";
    for call in [
        host.put(path, json!({"weight": 2})),
        host.delete(path),
        host.raw("/v1/documents:apply", TOML, text),
    ] {
        let answer = call.await;
        answer.expect(409).has_code("managed_by_file");
    }
    // Nothing was written.
    host.get("/v1/subscriptions/fresh").await.expect(404);
}

#[tokio::test]
async fn channel_and_connection_pause_and_resume() {
    let host = Host::start().await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let status = path(&execution);
    for (path, field, on, off) in [
        (
            "/v1/channels/shop-de",
            "/status/paused",
            json!(true),
            json!(false),
        ),
        (
            CONNECTION,
            "/status/state",
            json!("paused"),
            json!("active"),
        ),
    ] {
        let paused = host.act(&format!("{path}:pause")).await;
        paused.expect(200).shows(field, on);
        host.get(&status).await.shows("/status", "paused");
        host.act(&format!("{path}:resume")).await.shows(field, off);
        host.get(&status).await.shows("/status", "queued");
        host.act(&format!("{path}:stop")).await.expect(404);
    }
    host.act("/v1/channels/nowhere:pause").await.expect(404);
}

#[tokio::test]
async fn if_match_takes_a_list_of_tags() {
    let host = Host::start().await;
    let path = "/v1/channels/shop-de";
    let version = host.get(path).await.header("etag").to_owned();
    let document = host.get(path).await.json();
    for (tags, status) in [
        ("\"98\", \"99\"".to_owned(), 412),
        (format!("W/{version}, \"99\""), 412),
        (format!("\"99\", {version}"), 200),
    ] {
        let put = host
            .put(path, document.clone())
            .with("if-match", &tags)
            .await;
        assert_eq!(put.status, status, "{tags}: {}", put.text);
    }
    let refused = host.delete(path).with("if-match", "\"98\", \"99\"").await;
    refused.has_code("precondition_failed");
}
