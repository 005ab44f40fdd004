//! Documents, connectors, keys.

use super::*;

#[tokio::test]
async fn a_document_is_made_read_changed_and_removed() {
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
async fn documents_that_are_not_valid_are_refused_with_the_place() {
    let host = Host::start().await;
    for (path, body, pointer) in [
        (
            "/v1/channels/a",
            json!({"connector": "sandbox", "colour": 1}),
            "/colour",
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
async fn a_list_is_no_object_wherever_it_stands() {
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
            "[[sources]]\nname = \"a\"\nkind = \"http\"\nlimits = [{kind = \"concurrency\", max = 1}, [\"concurrency\", 1]]\n",
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
async fn a_credential_is_taken_and_never_given_back() {
    let host = Host::start().await;
    let path = "/v1/channels/shop-de/connections/acme";
    let body = json!({"settings": {"base_url": "https://shop.example"}, "auth": {"scheme": "bearer", "token": {"value": "hush-hush"}}});
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
async fn what_is_needed_stays_unless_its_jobs_are_cancelled() {
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
async fn a_removal_that_is_refused_has_cancelled_nothing() {
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
async fn of_many_that_make_a_document_at_once_one_succeeds() {
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
async fn the_tag_changes_with_a_pause_and_still_names_the_version() {
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
async fn what_the_file_looks_after_is_not_changed_here() {
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
async fn a_text_is_applied_as_a_whole_or_not_at_all() {
    let host = Host::start().await;
    let toml = ("content-type", "application/toml");
    let good = "[[subscriptions]]\nname = \"fresh\"\n[[connections]]\nsubscription = \"fresh\"\nchannel = \"shop-de\"\n";
    let dangling = good.replace("shop-de", "nowhere");
    let answer = host.raw("/v1/documents:apply", &[toml], dangling).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.json()["errors"][0]["pointer"]
        ),
        (400, &json!("/connections/0/channel"))
    );
    assert_eq!(host.get("/v1/subscriptions/fresh").await.status, 404);
    let answer = host.raw("/v1/documents:apply", &[toml], good).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.json()["applied"][1],
        json!({"kind": "connection", "name": "shop-de/fresh", "version": 1, "created": true})
    );
    assert_eq!(
        host.raw("/v1/documents:apply", &[toml], "[[subscriptions]")
            .await
            .status,
        400
    );
    // A secret that is not there is found before the documents in front of it are written.
    for (secret, code) in [
        ("{ env = \"NOT_SET\" }", "secret.unreadable"),
        ("{ stored = true }", "secret.not_stored"),
    ] {
        let later = format!(
            "[[subscriptions]]\nname = \"later\"\n[[connections]]\nsubscription = \"later\"\nchannel = \"shop-de\"\n\
             settings = {{ base_url = \"https://shop.example\" }}\nauth = {{ scheme = \"bearer\", token = {secret} }}\n"
        );
        let answer = host.raw("/v1/documents:apply", &[toml], later).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["errors"][0]["code"]),
            (400, &json!(code)),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            "/connections/0/auth/token"
        );
        assert_eq!(
            host.get("/v1/subscriptions/later").await.status,
            404,
            "nothing was written"
        );
    }
    let typed = "[[sources]]\nname = \"a\"\nkind = \"inline\"\nauth = { scheme = \"bearer\", token = \"hush-hush\" }\n";
    let answer = host.raw("/v1/documents:apply", &[toml], typed).await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (400, "malformed_request")
    );
    assert!(
        !answer.text.contains("hush") && answer.text.contains("line 4"),
        "{}",
        answer.text
    );
    assert_eq!(
        host.raw(
            "/v1/documents:apply",
            &[("content-type", "application/json")],
            "{}"
        )
        .await
        .status,
        415
    );
}

#[tokio::test]
async fn channels_and_connections_pause_and_resume() {
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
async fn connectors_are_installed_listed_and_activated() {
    let host = Host::with(ApiSettings {
        connector_max_bytes: 100,
        ..ApiSettings::default()
    })
    .await;
    let wasm = ("content-type", "application/wasm");
    let refused = host.raw("/v1/connectors", &[wasm], "nonsense").await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (422, "not_a_component")
    );
    assert_eq!(
        host.raw("/v1/connectors", &[wasm], vec![0u8; 101])
            .await
            .status,
        413
    );
    assert_eq!(host.raw("/v1/connectors", &[], "\0asm").await.status, 415);
    assert_eq!(
        host.raw("/v1/connectors?activate=no", &[wasm], "\0asm....")
            .await
            .status,
        400
    );
    let installed = host
        .raw("/v1/connectors?activate=false", &[wasm], "\0asm....")
        .await;
    assert_eq!(
        (installed.status.as_u16(), installed.header("location")),
        (201, "/v1/connectors/sandbox"),
        "{}",
        installed.text
    );
    assert_eq!(
        host.get("/v1/connectors/sandbox").await.json()["active"],
        Value::Null
    );
    let unknown = host
        .post(
            "/v1/connectors/sandbox:activate",
            json!({"version": "9.9.9"}),
        )
        .await;
    assert_eq!(
        (
            unknown.status.as_u16(),
            &unknown.json()["errors"][0]["pointer"]
        ),
        (400, &json!("/version"))
    );
    assert_eq!(
        host.post(
            "/v1/connectors/sandbox:activate",
            json!({"version": "0.1.0"})
        )
        .await
        .json()["active"],
        "0.1.0"
    );
    assert_eq!(
        host.get("/v1/connectors").await.json()["items"][0]["versions"][0]["description"]["title"],
        "Sandbox"
    );
    assert_eq!(host.get("/v1/connectors/other").await.status, 404);
    let tenant = key(&host.state, Role::Read, Some("acme")).await;
    host.state
        .configuration
        .put(
            Document::Subscription(serde_json::from_value(json!({"name": "none"})).unwrap()),
            ManagedBy::Api,
            None,
        )
        .await
        .unwrap();
    let without = key(&host.state, Role::Read, Some("none")).await;
    for (key, status, seen) in [(tenant, 200, 1), (without, 404, 0)] {
        assert_eq!(
            host.call_as(&key, "GET", "/v1/connectors/sandbox", &[], None)
                .await
                .status,
            status
        );
        let list = host
            .call_as(&key, "GET", "/v1/connectors", &[], None)
            .await
            .json();
        assert_eq!(list["items"].as_array().unwrap().len(), seen, "{list}");
    }
}

#[tokio::test]
async fn keys_open_what_their_role_allows_until_they_are_revoked() {
    let host = Host::start().await;
    let made = host
        .post(
            "/v1/keys",
            json!({"role": "read", "subscription": "acme", "label": "dashboard"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (id, text) = (
        made.json()["id"].as_str().unwrap().to_owned(),
        made.json()["key"].as_str().unwrap().to_owned(),
    );
    assert!(!host.get("/v1/keys").await.text.contains(&text));
    assert_eq!(
        host.call_as(&text, "GET", "/v1/executions", &[], None)
            .await
            .status,
        200
    );
    for (method, path, body) in [
        ("POST", "/v1/jobs", Some(job("1"))),
        ("POST", "/v1/bulk", Some(json!({}))),
        ("PUT", "/v1/subscriptions/acme", Some(json!({}))),
        ("POST", "/v1/channels/shop-de:pause", None),
        ("GET", "/v1/keys", None),
        ("POST", "/v1/keys", Some(json!({"role": "admin"}))),
        ("POST", "/v1/connectors", Some(json!({}))),
    ] {
        let answer = host.call_as(&text, method, path, &[], body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (403, "forbidden"),
            "{method} {path}"
        );
    }
    assert_eq!(
        host.call("DELETE", &format!("/v1/keys/{id}"), &[], None)
            .await
            .status,
        204
    );
    assert_eq!(
        host.call_as(&text, "GET", "/v1/executions", &[], None)
            .await
            .status,
        401
    );
    assert_eq!(
        host.call("DELETE", &format!("/v1/keys/{id}"), &[], None)
            .await
            .status,
        404
    );
    for bad in [
        json!({"role": "root"}),
        json!({"role": "read", "subscription": "nobody"}),
        json!({}),
        json!({"role": "read", "x": 1}),
    ] {
        assert_eq!(host.post("/v1/keys", bad).await.status, 400);
    }
}

#[tokio::test]
async fn an_admin_of_one_subscription_stays_inside_it() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let made = host
        .call_as(
            &bound,
            "POST",
            "/v1/keys",
            &[],
            Some(json!({"role": "admin"})),
        )
        .await;
    assert_eq!(
        (made.status.as_u16(), &made.json()["subscription"]),
        (201, &json!("other"))
    );
    assert_eq!(
        host.call_as(
            &bound,
            "POST",
            "/v1/keys",
            &[],
            Some(json!({"role": "read", "subscription": "acme"}))
        )
        .await
        .status,
        400
    );
    assert_eq!(
        host.call_as(&bound, "GET", "/v1/keys", &[], None)
            .await
            .json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        host.call_as(
            &bound,
            "PUT",
            "/v1/channels/shop-fr",
            &[],
            Some(json!({"connector": "sandbox"}))
        )
        .await
        .status,
        403
    );
    let own = host
        .call_as(
            &bound,
            "PUT",
            "/v1/channels/shop-fr/connections/other",
            &[],
            Some(json!({"settings": {"base_url": "https://b.example"}})),
        )
        .await;
    assert_eq!(own.status, 200, "{}", own.text);
    // What reads the host's own files, or opens private addresses, is the operator's to say.
    let token = |secret: serde_json::Value| json!({"auth": {"scheme": "bearer", "token": secret}});
    for (asked, status) in [
        (token(json!({"file": "/etc/hostname"})), 403),
        (token(json!({"env": "HOME"})), 403),
        (json!({"allow_addresses": ["127.0.0.1/32"]}), 403),
        (json!({"allow_hosts": ["https://c.example"]}), 403),
        (token(json!({"value": "t0ken-of-its-own"})), 200),
    ] {
        let mut document = asked.clone();
        document["settings"] = json!({"base_url": "https://b.example"});
        let answer = host
            .call_as(
                &bound,
                "PUT",
                "/v1/channels/shop-fr/connections/other",
                &[],
                Some(document),
            )
            .await;
        assert_eq!(answer.status, status, "{asked}");
    }
    assert_eq!(
        host.call_as(
            &bound,
            "PUT",
            "/v1/channels/shop-fr/connections/acme",
            &[],
            Some(json!({}))
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn what_the_operator_takes_back_is_not_brought_back_by_a_slow_body() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let path = "/v1/channels/shop-fr/connections/other";
    let document = |addresses: Value| json!({"channel": "shop-fr", "subscription": "other", "settings": {"base_url": "https://b.example"}, "allow_addresses": addresses});
    let open = document(json!(["10.0.0.5/32"]));
    assert_eq!(
        host.call("PUT", path, &[], Some(open.clone())).await.status,
        200
    );
    let closed = Document::Connection(serde_json::from_value(document(json!([]))).unwrap());
    let configuration = Arc::clone(&host.state.configuration);
    // The operator acts after the head of the request was read, and before its body is there.
    let body = Body::from_stream(futures_util::stream::once(async move {
        configuration
            .put(closed, ManagedBy::Api, None)
            .await
            .unwrap();
        Ok::<_, std::io::Error>(Bytes::from(open.to_string()))
    }));
    let request = Request::builder()
        .method("PUT")
        .uri(path)
        .header("authorization", format!("Bearer {bound}"));
    let answer = host
        .send(
            request
                .header("content-type", "application/json")
                .body(body)
                .unwrap(),
        )
        .await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert_eq!(host.get(path).await.json().get("allow_addresses"), None);
}

#[tokio::test]
async fn what_the_operator_opened_is_for_the_hosts_that_were_there() {
    let host = Host::start().await;
    let bound = key(&host.state, Role::Admin, Some("other")).await;
    let path = "/v1/channels/shop-fr/connections/other";
    let document =
        |settings: Value| json!({"settings": settings, "allow_addresses": ["10.0.0.5/32"]});
    let opened = document(json!({"base_url": "http://erp.example:8080/a", "locale": "de"}));
    assert_eq!(host.call("PUT", path, &[], Some(opened)).await.status, 200);
    for (settings, status) in [
        (
            json!({"base_url": "http://erp.example:8080/b", "locale": "fr"}),
            200,
        ),
        (json!({"base_url": "http://erp.example:9200/b"}), 403),
        (json!({"base_url": "https://erp.example:8080/b"}), 403),
        (json!({"base_url": "http://vault.example:8080/b"}), 403),
        (
            json!({"base_url": "http://erp.example:8080/b", "copy_url": "http://vault.example"}),
            403,
        ),
        // Taken out it is no way to put in another one.
        (json!({"locale": "fr"}), 200),
        (json!({"base_url": "http://vault.example:8080/b"}), 403),
    ] {
        let answer = host
            .call_as(&bound, "PUT", path, &[], Some(document(settings.clone())))
            .await;
        assert_eq!(answer.status, status, "{settings}: {}", answer.text);
        assert!(
            status != 403
                || answer.json()["detail"]
                    .as_str()
                    .unwrap()
                    .starts_with("/settings/"),
            "{}",
            answer.text
        );
    }
    let moved = document(json!({"base_url": "http://vault.example:8080/b"}));
    assert_eq!(
        host.call("PUT", path, &[], Some(moved)).await.status,
        200,
        "the operator may"
    );
}
