//! API keys and roles: 401 without a key, 403 with an insufficient role, 404 for the objects of
//! another tenant.

use anyhow::{Context, Result};
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::{Value, json};

/// Another tenant with a connection of the same channel.
const OTHER: &str = "[[subscriptions]]\nname = \"other\"\n\
    [[connections]]\nsubscription = \"other\"\nchannel = \"ok\"\nsettings = { behave = \"ok\" }";

async fn send(rest: &Rest, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
    let request = rest.request(method, path);
    rest.send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

async fn key(admin: &Rest, role: &str, subscription: Option<&str>) -> Result<(String, Rest)> {
    let made = send(
        admin,
        Method::POST,
        "/v1/keys",
        Some(&json!({"role": role, "subscription": subscription, "label": role})),
    )
    .await?
    .expect(201)?;
    assert_eq!(made.header("cache-control"), "no-store");
    let text = made.json["key"].as_str().context("shown this once")?;
    assert!(text.starts_with("egk_") && text.len() == 36, "{text}");
    Ok((
        made.json["id"].as_str().context("an id")?.to_owned(),
        admin.with_key(Some(text)),
    ))
}

#[tokio::test]
async fn api_key_grants_its_role_and_subscription() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok").connection(OTHER)]).await?;
    let admin = host.rest()?;

    for (header, says) in [
        (None, "missing API key"),
        (
            Some("egk_00000000000000000000000000000000"),
            "unknown or revoked",
        ),
        (Some("nonsense"), "egk_"),
    ] {
        let answer = send(&admin.with_key(header), Method::GET, "/v1/executions", None)
            .await?
            .expect(401)?;
        assert_eq!(
            (answer.code(), answer.header("www-authenticate")),
            ("unauthenticated", "Bearer realm=\"egression\"")
        );
        assert!(
            answer.json["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(says)),
            "{}",
            answer.text
        );
    }
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/v1/openapi.json", 200),
        ("/metrics", 401),
    ] {
        assert_eq!(
            admin.with_key(None).get_status(path).await,
            Some(status),
            "{path} without a key"
        );
    }

    let (_, reader) = key(&admin, "read", Some("acme")).await?;
    let (submitter_id, submitter) = key(&admin, "submit", Some("acme")).await?;
    let (_, own_admin) = key(&admin, "admin", Some("acme")).await?;
    let (_, stranger) = key(&admin, "submit", Some("other")).await?;

    // With a bound key, the subscription is optional.
    let mut job = upsert("ok", "p1");
    job.as_object_mut().unwrap().remove("subscription");
    let execution = follow::submit_and_wait(&submitter, &job).await?;
    assert_eq!(execution["subscription"], "acme");
    let path = follow::path_of(&execution)?;
    let job_path = format!("/v1/jobs/{}", execution["jobs"][0]["id"].as_str().unwrap());

    roles(&reader, &submitter, &own_admin, &path).await?;
    tenants(&stranger, &path, &job_path).await?;
    own_only(&own_admin).await?;

    // A revoked key is refused at once. A key cannot revoke itself.
    let path = format!("/v1/keys/{submitter_id}");
    assert_eq!(
        send(&stranger, Method::DELETE, &path, None).await?.status,
        403
    );
    send(&own_admin, Method::DELETE, &path, None)
        .await?
        .expect(204)?;
    assert_eq!(
        send(&submitter, Method::GET, "/v1/executions", None)
            .await?
            .status,
        401
    );
    assert_eq!(
        send(&own_admin, Method::DELETE, &path, None).await?.status,
        404
    );
    let keys: Value = own_admin.get("/v1/keys").await?;
    let own_id = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["role"] == "admin")
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = send(
        &own_admin,
        Method::DELETE,
        &format!("/v1/keys/{own_id}"),
        None,
    )
    .await?
    .expect(409)?;
    assert_eq!(refused.code(), "own_key");
    assert!(!keys.to_string().contains("egk_"), "texts are shown once");
    Ok(())
}

async fn roles(reader: &Rest, submitter: &Rest, own_admin: &Rest, execution: &str) -> Result<()> {
    let channel = json!({"connector": "hostile"});
    let cases = [
        (
            Method::POST,
            "/v1/jobs".to_owned(),
            Some(upsert("ok", "p2")),
            [403, 200, 200],
        ),
        (
            Method::POST,
            format!("{execution}:pause"),
            None,
            [403, 409, 409],
        ),
        (Method::GET, execution.to_owned(), None, [200, 200, 200]),
        (Method::GET, "/v1/keys".to_owned(), None, [403, 403, 200]),
        (
            Method::POST,
            "/v1/keys".to_owned(),
            Some(json!({"role": "read"})),
            [403, 403, 201],
        ),
        // Only an admin of all tenants may change what all tenants share.
        (
            Method::PUT,
            "/v1/channels/new".to_owned(),
            Some(channel),
            [403, 403, 403],
        ),
        (
            Method::POST,
            "/v1/channels/ok:pause".to_owned(),
            None,
            [403, 403, 403],
        ),
        (
            Method::PUT,
            "/v1/subscriptions/new".to_owned(),
            Some(json!({})),
            [403, 403, 403],
        ),
    ];
    for (method, path, body, expected) in cases {
        for (rest, status) in [reader, submitter, own_admin].into_iter().zip(expected) {
            let answer = send(rest, method.clone(), &path, body.as_ref()).await?;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
            assert!(
                status != 403 || answer.code() == "forbidden",
                "{}",
                answer.text
            );
        }
    }
    Ok(())
}

/// The objects of another tenant are answered as if they did not exist.
async fn tenants(stranger: &Rest, execution: &str, job: &str) -> Result<()> {
    for path in [
        execution.to_owned(),
        format!("{execution}/jobs"),
        job.to_owned(),
        format!("{job}/events"),
        "/v1/subscriptions/acme".to_owned(),
    ] {
        let answer = send(stranger, Method::GET, &path, None).await?;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "not_found"),
            "{path}: {}",
            answer.text
        );
    }
    for verb in [
        format!("{execution}:cancel"),
        format!("{execution}:resume"),
        format!("{job}:cancel"),
    ] {
        assert_eq!(
            send(stranger, Method::POST, &verb, None).await?.status,
            404,
            "{verb}"
        );
    }
    assert_eq!(
        send(
            stranger,
            Method::GET,
            "/v1/channels/ok/connections/acme",
            None
        )
        .await?
        .status,
        404
    );
    let theirs: Value = stranger.get("/v1/executions").await?;
    assert_eq!(theirs["items"], json!([]));
    let theirs: Value = stranger.get("/v1/objects?type=product&id=p1").await?;
    assert_eq!(theirs["items"], json!([]));
    assert_eq!(
        send(
            stranger,
            Method::GET,
            "/v1/executions?subscription=acme",
            None
        )
        .await?
        .status,
        404
    );
    let foreign = send(
        stranger,
        Method::POST,
        "/v1/jobs",
        Some(&upsert("ok", "p1")),
    )
    .await?
    .expect(400)?;
    let unknown = json!({
        "pointer": "/subscription", "code": "unknown_subscription",
        "detail": "unknown subscription `acme`",
    });
    assert_eq!(
        foreign.json["errors"],
        json!([unknown]),
        "the same answer as for a missing subscription"
    );
    Ok(())
}

/// A bound admin manages its own subscription only.
async fn own_only(own_admin: &Rest) -> Result<()> {
    let other = json!({"role": "admin", "subscription": "other"});
    assert_eq!(
        send(own_admin, Method::POST, "/v1/keys", Some(&other))
            .await?
            .status,
        400
    );
    let made = send(
        own_admin,
        Method::POST,
        "/v1/keys",
        Some(&json!({"role": "admin"})),
    )
    .await?
    .expect(201)?;
    assert_eq!(
        made.json["subscription"], "acme",
        "the keys of a bound admin are bound, too"
    );
    assert_eq!(
        send(
            own_admin,
            Method::DELETE,
            "/v1/channels/ok/connections/other",
            None
        )
        .await?
        .status,
        404
    );
    let keys: Value = own_admin.get("/v1/keys").await?;
    assert!(
        keys["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["subscription"] == "acme"),
        "{keys:#}"
    );
    Ok(())
}
