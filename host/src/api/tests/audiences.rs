//! Who may use a source or a channel. To everyone else, it does not exist.

use super::harness::*;

/// Adds a channel with a connector of its own, and a source, both only for `acme`.
async fn hidden(host: &Host) {
    for (path, document) in [
        (
            "/v1/channels/hidden",
            json!({"connector": "secret", "subscriptions": ["acme"]}),
        ),
        (
            "/v1/sources/both",
            json!({"kind": "inline", "subscriptions": ["acme", "other"]}),
        ),
    ] {
        let put = call(host, "PUT", path, Some(document)).await;
        assert_eq!(put.status, 201, "{}", put.text);
    }
}

async fn call(host: &Host, method: &str, path: &str, body: Option<Value>) -> Answer {
    call_as(host, &host.admin, method, path, body).await
}

async fn call_as(host: &Host, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = host.request(method, path).by(key);
    match body {
        Some(body) => request.json(&body).await,
        None => request.await,
    }
}

/// The answer without what differs on purpose: the name that was asked for, and the trace.
fn without(answer: &Answer, name: &str) -> String {
    let trace = answer.header("trace-id");
    answer.text.replace(name, "NAME").replace(trace, "TRACE")
}

#[tokio::test]
async fn source_needs_the_list_of_its_subscriptions() {
    let host = Host::start().await;
    for (listed, pointer, code, says) in [
        (Value::Null, "/subscriptions", "malformed", ""),
        (json!([]), "/subscriptions", "field.missing", "[\"*\"]"),
        (
            json!(["*", "acme"]),
            "/subscriptions/0",
            "value.conflict",
            "only entry",
        ),
        (
            json!(["acme", "nobody"]),
            "/subscriptions/1",
            "reference.missing",
            "`nobody`",
        ),
    ] {
        let document = json!({"kind": "inline", "subscriptions": listed});
        let answer = call(&host, "PUT", "/v1/sources/new", Some(document)).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &problem["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{problem}"
        );
        if code != "malformed" {
            assert_eq!(problem["errors"][0]["code"], code, "{problem}");
        }
        let detail = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{detail}");
    }
    let missing = json!({"kind": "inline"});
    let answer = call(&host, "PUT", "/v1/sources/new", Some(missing)).await;
    assert_eq!(
        answer.json()["errors"][0]["code"],
        "field.missing",
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn channel_is_for_everybody_unless_it_lists_subscriptions() {
    let host = Host::start().await;
    assert_eq!(
        host.get("/v1/channels/shop-fr").await.json()["subscriptions"],
        json!(["*"])
    );
    assert_eq!(
        host.get("/v1/channels/shop-de").await.json()["subscriptions"],
        json!(["acme"])
    );
    let connection = json!({"settings": {}});
    let path = "/v1/channels/shop-de/connections/other";
    let refused = call(&host, "PUT", path, Some(connection)).await;
    assert_eq!(
        (
            refused.status.as_u16(),
            &refused.json()["errors"][0]["code"]
        ),
        (400, &json!("connection.unlisted")),
        "{}",
        refused.text
    );
    let text = "[[connections]]\nsubscription = \"other\"\nchannel = \"shop-de\"\n";
    let toml = ("content-type", "application/toml");
    let refused = host.raw("/v1/documents:apply", toml, text).await;
    assert_eq!(
        refused.json()["errors"][0]["code"],
        "connection.unlisted",
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn bound_key_does_not_find_what_it_may_not_use() {
    let host = Host::start().await;
    hidden(&host).await;
    let other = key(&host.state, Role::Admin, Some("other")).await;
    for (method, path, body) in [
        ("GET", "/v1/sources/{}", None),
        (
            "PUT",
            "/v1/sources/{}",
            Some(json!({"kind": "inline", "subscriptions": ["other"]})),
        ),
        ("GET", "/v1/channels/{}", None),
        ("GET", "/v1/channels/{}/connections", None),
        ("PUT", "/v1/channels/{}/connections/other", Some(json!({}))),
        ("GET", "/v1/connectors/{}", None),
    ] {
        let names = match path {
            "/v1/sources/{}" => "pim",
            "/v1/connectors/{}" => "secret",
            _ => "hidden",
        };
        let ask = async |name: &str| {
            let path = path.replace("{}", name);
            let answer = call_as(&host, &other, method, &path, body.clone()).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            without(&answer, name)
        };
        assert_eq!(ask(names).await, ask("absent").await, "{method} {path}");
    }
    for path in ["/v1/sources", "/v1/channels", "/v1/connectors"] {
        let list = call_as(&host, &other, "GET", path, None).await.text;
        for name in ["pim", "hidden", "secret", "shop-de", "acme"] {
            assert!(!list.contains(&format!("\"{name}\"")), "{name} in {list}");
        }
    }
    let both = call_as(&host, &other, "GET", "/v1/sources/both", None).await;
    assert_eq!(both.json()["subscriptions"], json!(["other"]));
}

#[tokio::test]
async fn submission_names_only_sources_and_channels_of_its_subscription() {
    let host = Host::start().await;
    hidden(&host).await;
    let other = key(&host.state, Role::Submit, Some("other")).await;
    let own = json!({"source": "both", "channel": "shop-fr", "action": "upsert",
        "object_type": "product", "object_ids": ["1"], "payload": {}});
    let submit = async |key: &str, field: &str, name: &str| {
        let mut job = own.clone();
        job["subscription"] = json!("other");
        job[field] = json!(name);
        call_as(&host, key, "POST", "/v1/jobs", Some(job)).await
    };
    for key in [&other, &host.admin] {
        assert_eq!(submit(key, "source", "both").await.status, 202);
        for (field, foreign) in [
            ("source", "pim"),
            ("channel", "hidden"),
            ("channel", "shop-de"),
        ] {
            let refused = submit(key, field, foreign).await;
            assert_eq!(refused.status, 400, "{}", refused.text);
            let absent = submit(key, field, "absent").await;
            assert_eq!(without(&refused, foreign), without(&absent, "absent"));
        }
    }
}

#[tokio::test]
async fn bound_admin_changes_only_a_source_of_its_own() {
    let host = Host::start().await;
    hidden(&host).await;
    let acme = key(&host.state, Role::Admin, Some("acme")).await;
    let path = "/v1/sources/pim";
    let source = |more: Value| {
        let mut source = json!({"kind": "http", "subscriptions": ["acme"],
            "object_url": "https://pim.example/objects/{type}/{id}"});
        source
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        source
    };
    for (more, status) in [
        (json!({"max_batch": 7}), 200),
        (
            json!({"object_url": "https://new.example/{type}/{id}"}),
            200,
        ),
        (
            json!({"auth": {"scheme": "bearer", "token": {"value": "hush-hush"}}}),
            200,
        ),
        (
            json!({"auth": {"scheme": "bearer", "token": {"env": "TOKEN"}}}),
            403,
        ),
        (json!({"allow_addresses": ["127.0.0.1/32"]}), 403),
        (json!({"subscriptions": ["acme", "other"]}), 403),
        (json!({"subscriptions": ["acme", "absent"]}), 403),
        (json!({"subscriptions": ["*"]}), 403),
    ] {
        let answer = call_as(&host, &acme, "PUT", path, Some(source(more.clone()))).await;
        assert_eq!(answer.status, status, "{more}: {}", answer.text);
    }
    // The operator allowed the address for the hosts of that time.
    let opened = source(json!({"object_url": "http://erp.example/{type}/{id}",
        "allow_addresses": ["10.0.0.5/32"]}));
    assert_eq!(
        call(&host, "PUT", path, Some(opened.clone())).await.status,
        200
    );
    let mut moved = opened.clone();
    moved["object_url"] = json!("http://vault.example/{type}/{id}");
    for (document, status) in [(opened, 200), (moved, 403)] {
        let answer = call_as(&host, &acme, "PUT", path, Some(document)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    // Shared and new sources are the operator's, as is every deletion.
    for (method, path, status) in [
        ("PUT", "/v1/sources/both", 403),
        ("PUT", "/v1/sources/new", 404),
        ("DELETE", "/v1/sources/pim", 403),
    ] {
        let body = (method == "PUT").then(|| source(json!({})));
        let answer = call_as(&host, &acme, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
    let submitter = key(&host.state, Role::Submit, Some("acme")).await;
    let answer = call_as(&host, &submitter, "PUT", path, Some(source(json!({})))).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn connection_that_its_channel_no_longer_lists_is_parked() {
    let host = Host::start().await;
    let path = "/v1/channels/shop-fr/connections/other";
    let narrowed = json!({"connector": "sandbox", "subscriptions": ["acme"]});
    let put = call(&host, "PUT", "/v1/channels/shop-fr", Some(narrowed)).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let parked = |answer: Answer| {
        let status = &answer.json()["status"];
        (status["state"].clone(), status["reason"].clone())
    };
    let reason = "the channel does not list the subscription";
    let expected = (json!("parked"), json!(reason));
    assert_eq!(parked(host.get(path).await), expected);
    // It follows from the channel, so no act ends it.
    let resumed = call(&host, "POST", &format!("{path}:resume"), None).await;
    assert_eq!(parked(resumed), expected);
    let other = key(&host.state, Role::Admin, Some("other")).await;
    for (method, path) in [
        ("GET", path.to_owned()),
        ("POST", format!("{path}:check")),
        ("POST", format!("{path}:resume")),
        ("DELETE", path.to_owned()),
        ("GET", "/v1/channels/shop-fr".to_owned()),
    ] {
        let answer = call_as(&host, &other, method, &path, None).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    let widened = json!({"connector": "sandbox"});
    call(&host, "PUT", "/v1/channels/shop-fr", Some(widened)).await;
    assert_eq!(host.get(path).await.json()["status"]["state"], "active");
}

#[tokio::test]
async fn subscription_that_is_listed_cannot_be_deleted() {
    let host = Host::start().await;
    let execution = host.post("/v1/jobs", job("1")).await.json();
    let path = "/v1/subscriptions/acme?cancel_jobs=true";
    let refused = call(&host, "DELETE", path, None).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem().as_str()),
        (409, "in_use"),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("`subscriptions`"), "{}", refused.text);
    let after = format!("/v1/executions/{}", execution["id"].as_str().unwrap());
    let after = host.get(&after).await.json();
    assert_eq!(
        after["counts"]["waiting"], 1,
        "nothing was cancelled: {after}"
    );
    // A later subscription of this name would otherwise inherit the access.
    let unlisted = json!({"connector": "sandbox"});
    call(&host, "PUT", "/v1/channels/shop-de", Some(unlisted)).await;
    let shared = json!({"kind": "inline", "subscriptions": ["*"]});
    call(&host, "PUT", "/v1/sources/pim", Some(shared)).await;
    let removed = call(&host, "DELETE", path, None).await;
    assert_eq!(removed.status, 204, "{}", removed.text);
}

#[tokio::test]
async fn foreign_id_reads_the_store_as_often_as_an_absent_one() {
    let host = Host::start().await;
    let foreign = host.post("/v1/jobs", job("1")).await.json();
    let foreign = foreign["id"].as_str().unwrap();
    // Of the same time, so that it is not expired.
    let last = if foreign.ends_with('1') { "2" } else { "1" };
    let absent = format!("{}{last}", &foreign[..foreign.len() - 1]);
    let other = key(&host.state, Role::Admin, Some("other")).await;
    for path in [
        "/v1/executions/{}",
        "/v1/executions/{}/jobs",
        "/v1/executions/{}:cancel",
        "/v1/jobs/{job}",
        "/v1/jobs/{job}/events",
        "/v1/jobs/{job}:cancel",
    ] {
        let ask = async |id: &str| {
            let name = match path.contains("{job}") {
                true => format!("job_{}00000", &id[4..]),
                false => id.to_owned(),
            };
            let path = path.replace("{job}", &name).replace("{}", &name);
            let method = if path.contains(':') { "POST" } else { "GET" };
            let before = host.state.store.reads();
            let answer = call_as(&host, &other, method, &path, None).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
            (host.state.store.reads() - before, without(&answer, &name))
        };
        assert_eq!(ask(foreign).await, ask(&absent).await, "{path}");
    }
}
