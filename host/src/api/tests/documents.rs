//! Documents: create, read, change, delete, pause.

use super::harness::*;

#[tokio::test]
async fn document_is_created_read_changed_and_deleted() {
    let host = Host::start().await;
    let made = host
        .call(
            "PUT",
            "/v1/channels/new",
            &[("if-none-match", "*")],
            Some(json!({"connector": "sandbox"})),
        )
        .await;
    assert_eq!(
        (
            made.status.as_u16(),
            made.header("etag"),
            &made.json()["status"]["managed_by"]
        ),
        (201, "\"1\"", &json!("api")),
        "{}",
        made.text
    );
    assert_eq!(
        host.call(
            "PUT",
            "/v1/channels/new",
            &[("if-none-match", "*")],
            Some(json!({"connector": "sandbox"}))
        )
        .await
        .status,
        412
    );
    let mut read = host.get("/v1/channels/new").await.json();
    read["merge"] = json!(false);
    let changed = host
        .call(
            "PUT",
            "/v1/channels/new",
            &[("if-match", "\"1\"")],
            Some(read.clone()),
        )
        .await;
    assert_eq!(
        (changed.status.as_u16(), changed.header("etag")),
        (200, "\"2\""),
        "{}",
        changed.text
    );
    assert_eq!(
        host.call(
            "PUT",
            "/v1/channels/new",
            &[("if-match", "\"1\"")],
            Some(read)
        )
        .await
        .problem(),
        "precondition_failed"
    );
    assert_eq!(
        host.call(
            "GET",
            "/v1/channels/new",
            &[("if-none-match", "\"2\"")],
            None
        )
        .await
        .status,
        304
    );
    assert_eq!(
        host.call("DELETE", "/v1/channels/new", &[("if-match", "\"1\"")], None)
            .await
            .status,
        412
    );
    assert_eq!(
        host.call("DELETE", "/v1/channels/new", &[], None)
            .await
            .status,
        204
    );
    assert_eq!(host.get("/v1/channels/new").await.status, 404);
    assert_eq!(
        host.call("DELETE", "/v1/channels/new", &[], None)
            .await
            .status,
        404
    );
    let names: Vec<_> = host.get("/v1/channels").await.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["name"].clone())
        .collect();
    assert_eq!(names, ["shop-de", "shop-fr"]);
}

#[tokio::test]
async fn document_errors_name_the_place() {
    let host = Host::start().await;
    for (path, body, pointer) in [
        (
            "/v1/channels/a",
            json!({"connector": "sandbox", "color": 1}),
            "/color",
        ),
        (
            "/v1/channels/a",
            json!({"connector": "sandbox", "name": "b"}),
            "/name",
        ),
        (
            "/v1/channels/a",
            json!({"connector": "sandbox", "max_calls": "many"}),
            "/max_calls",
        ),
        ("/v1/channels/a", json!({}), ""),
        (
            "/v1/channels/a",
            json!({"connector": "sandbox", "partition": "{shop}"}),
            "/partition",
        ),
        ("/v1/subscriptions/UPPER", json!({}), "/name"),
        ("/v1/sources/a", json!({"kind": "ftp"}), "/kind"),
    ] {
        let answer = host.call("PUT", path, &[], Some(body)).await;
        answer.problem();
        assert_eq!(
            (
                answer.status.as_u16(),
                &answer.json()["errors"][0]["pointer"]
            ),
            (400, &json!(pointer)),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn document_refuses_a_list_in_place_of_an_object() {
    let host = Host::start().await;
    let channel = |field: &str, value: Value| {
        (
            "PUT",
            "/v1/channels/lists",
            json!({"connector": "sandbox", field: value}),
        )
    };
    let connection = |value: Value| {
        (
            "PUT",
            "/v1/channels/shop-fr/connections/acme",
            json!({"auth": value}),
        )
    };
    for ((method, path, body), pointer) in [
        (channel("retry", json!([8, 1000])), "/retry"),
        (channel("limits", json!([["window", 5, 1000]])), "/limits/0"),
        (connection(json!(["bearer", {"stored": true}])), "/auth"),
        (
            connection(json!({"scheme": "bearer", "token": ["env", "TOKEN"]})),
            "/auth",
        ),
        (("POST", "/v1/keys", json!(["read"])), ""),
        (
            ("POST", "/v1/connectors/sandbox:activate", json!(["0.1.0"])),
            "",
        ),
    ] {
        let answer = host.call(method, path, &[], Some(body)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (400, "malformed_request"),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{}",
            answer.text
        );
    }
    for (text, pointer) in [
        (
            "[[channels]]\nname = \"a\"\nconnector = \"sandbox\"\nretry = [8, 1000]\n",
            "/channels/0/retry",
        ),
        (
            "[[sources]]\nname = \"a\"\nkind = \"http\"\n\
             limits = [{kind = \"concurrency\", max = 1}, [\"concurrency\", 1]]\n",
            "/sources/0/limits/1",
        ),
        ("subscriptions = [[\"acme\", 1]]\n", "/subscriptions/0"),
    ] {
        let answer = host
            .raw(
                "/v1/documents:apply",
                &[("content-type", "application/toml")],
                text,
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (400, "malformed_request"),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            pointer,
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn credential_is_write_only() {
    let host = Host::start().await;
    let path = "/v1/channels/shop-de/connections/acme";
    let body = json!({"settings": {"base_url": "https://shop.example"},
        "auth": {"scheme": "bearer", "token": {"value": "hush-hush"}}});
    let put = host.call("PUT", path, &[], Some(body)).await;
    assert_eq!(put.status, 200, "{}", put.text);
    for text in [
        put.text,
        host.get(path).await.text,
        host.get("/v1/channels/shop-de/connections").await.text,
    ] {
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
    let refused = host
        .call("DELETE", "/v1/channels/shop-de/connections/acme", &[], None)
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (409, "in_use")
    );
    assert_eq!(
        host.call("DELETE", "/v1/subscriptions/acme", &[], None)
            .await
            .status,
        409
    );
    assert_eq!(
        host.call(
            "DELETE",
            "/v1/channels/shop-de?cancel_jobs=perhaps",
            &[],
            None
        )
        .await
        .status,
        400
    );
    let removed = host
        .call("DELETE", "/v1/channels/shop-de?cancel_jobs=true", &[], None)
        .await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    let after = host
        .get(&format!(
            "/v1/executions/{}",
            execution["id"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(
        (&after["status"], &after["counts"]["cancelled"]),
        (&json!("cancelled"), &json!(1))
    );
    assert_eq!(host.get("/v1/channels/shop-de").await.status, 404);
}

#[tokio::test]
async fn delete_that_is_refused_cancels_nothing() {
    let host = Host::start().await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let connection = host
        .get("/v1/channels/shop-de/connections/acme")
        .await
        .json();
    let document =
        json!({"channel": "shop-de", "subscription": "acme", "settings": connection["settings"]});
    let path = "/v1/channels/shop-de?cancel_jobs=true";
    assert_eq!(
        host.call("DELETE", path, &[("if-match", "\"9\"")], None)
            .await
            .problem(),
        "precondition_failed"
    );
    let document = Document::Connection(serde_json::from_value(document).unwrap());
    host.state
        .configuration
        .put(document, ManagedBy::File, None)
        .await
        .unwrap();
    assert_eq!(
        host.call("DELETE", path, &[], None).await.problem(),
        "managed_by_file"
    );
    assert_eq!(
        host.call(
            "DELETE",
            "/v1/subscriptions/acme?cancel_jobs=true",
            &[],
            None
        )
        .await
        .problem(),
        "managed_by_file"
    );
    let after = host
        .get(&format!(
            "/v1/executions/{}",
            execution["id"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(after["counts"]["waiting"], 1, "{after}");
}

#[tokio::test]
async fn document_is_created_by_one_of_many_concurrent_requests() {
    let host = Host::start().await;
    let make = || {
        host.call(
            "PUT",
            "/v1/channels/new",
            &[("if-none-match", "*")],
            Some(json!({"connector": "sandbox"})),
        )
    };
    let answers = futures_util::future::join_all((0..8).map(|_| make())).await;
    let mut statuses: Vec<u16> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412, 412, 412, 412, 412, 412, 412]);
}

#[tokio::test]
async fn etag_changes_with_a_pause_and_still_matches_the_version() {
    let host = Host::start().await;
    for path in [
        "/v1/channels/shop-de",
        "/v1/channels/shop-de/connections/acme",
    ] {
        let known = host.get(path).await.header("etag").to_owned();
        let paused = host.call("POST", &format!("{path}:pause"), &[], None).await;
        let again = host
            .call("GET", path, &[("if-none-match", &known)], None)
            .await;
        assert_eq!(
            (again.status.as_u16(), again.header("etag")),
            (200, paused.header("etag"))
        );
        let mut document = again.json();
        document["labels"] = Value::Null;
        document.as_object_mut().unwrap().remove("labels");
        // Somebody who read it before the pause may write: nothing that was written has changed.
        for tag in [known.as_str(), again.header("etag")] {
            let put = host
                .call("PUT", path, &[("if-match", tag)], Some(document.clone()))
                .await;
            assert_eq!(put.status, 200, "{tag} {}", put.text);
        }
        assert_eq!(
            host.call("POST", &format!("{path}:resume"), &[], None)
                .await
                .header("etag"),
            known
        );
    }
}

#[tokio::test]
async fn document_of_the_file_cannot_be_changed() {
    let host = Host::start().await;
    let subscription = serde_json::from_value(json!({"name": "filed"})).unwrap();
    host.state
        .configuration
        .put(Document::Subscription(subscription), ManagedBy::File, None)
        .await
        .unwrap();
    for (method, body) in [("PUT", Some(json!({"weight": 2}))), ("DELETE", None)] {
        let answer = host
            .call(method, "/v1/subscriptions/filed", &[], body)
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (409, "managed_by_file"),
            "{method}"
        );
    }
    let text = "[[subscriptions]]\nname = \"fresh\"\n[[subscriptions]]\nname = \"filed\"\n";
    let answer = host
        .raw(
            "/v1/documents:apply",
            &[("content-type", "application/toml")],
            text,
        )
        .await;
    assert_eq!(answer.problem(), "managed_by_file");
    assert_eq!(
        host.get("/v1/subscriptions/fresh").await.status,
        404,
        "nothing was written"
    );
}

#[tokio::test]
async fn channel_and_connection_pause_and_resume() {
    let host = Host::start().await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let status = format!("/v1/executions/{}", execution["id"].as_str().unwrap());
    for (path, field, on, off) in [
        ("/v1/channels/shop-de", "paused", json!(true), json!(false)),
        (
            "/v1/channels/shop-de/connections/acme",
            "state",
            json!("paused"),
            json!("active"),
        ),
    ] {
        let paused = host.call("POST", &format!("{path}:pause"), &[], None).await;
        assert_eq!(
            (paused.status.as_u16(), &paused.json()["status"][field]),
            (200, &on),
            "{}",
            paused.text
        );
        assert_eq!(host.get(&status).await.json()["status"], "paused");
        assert_eq!(
            host.call("POST", &format!("{path}:resume"), &[], None)
                .await
                .json()["status"][field],
            off
        );
        assert_eq!(host.get(&status).await.json()["status"], "queued");
        assert_eq!(
            host.call("POST", &format!("{path}:stop"), &[], None)
                .await
                .status,
            404
        );
    }
    assert_eq!(
        host.call("POST", "/v1/channels/nowhere:pause", &[], None)
            .await
            .status,
        404
    );
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
        let headers = [("if-match", tags.as_str())];
        let put = host
            .call("PUT", path, &headers, Some(document.clone()))
            .await;
        assert_eq!(put.status, status, "{tags}: {}", put.text);
    }
    let headers = [("if-match", "\"98\", \"99\"")];
    let refused = host.call("DELETE", path, &headers, None).await;
    assert_eq!(refused.problem(), "precondition_failed");
}
