//! Hosts that a connector's manifest names, and credentials that do not belong to the host of a
//! setting.

use anyhow::{Context, Result};
use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use egression_tests::target::Target;
use reqwest::Method;
use serde_json::{Value, json};

use crate::name_server::NameServer;

const LOOPBACK: &str = "allow_addresses = [\"127.0.0.1/32\"]";
const CONNECTION: &str = "/v1/channels/reach/connections/acme";

#[tokio::test]
async fn manifest_hosts_need_an_operator_grant() -> Result<()> {
    let (target, names) = (Target::start().await?, NameServer::start().await?);
    names.answer_with(&["127.0.0.1"])?;
    let port = target
        .url("")
        .rsplit(':')
        .next()
        .context("a port")?
        .to_owned();
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "s3cret-of-the-shop")?;
    let auth = format!(
        "auth = {{ scheme = \"bearer\", token = {{ file = \"{}\" }} }}",
        file.path().display()
    );
    let reach = |name: &str, host: &str, granted: &str| {
        let channel = HostileChannel::new("reach")
            .named(name)
            .setting("elsewhere_url", &format!("http://{host}:{port}/ok"));
        let channel = channel.connection(LOOPBACK).connection(&auth);
        if granted.is_empty() {
            channel
        } else {
            channel.connection(&format!("allow_hosts = [\"{granted}\"]"))
        }
    };
    let channels = [
        reach("needed-only", "needed.example", ""),
        reach("below-needed-only", "api.needed.example", ""),
        reach(
            "another-scheme",
            "needed.example",
            &format!("https://needed.example:{port}"),
        ),
        reach("another-port", "needed.example", "http://needed.example"),
        reach(
            "itself-is-not-below",
            "needed.example",
            &format!("http://*.needed.example:{port}"),
        ),
        reach(
            "another-suffix",
            "api.needed.example.net",
            &format!("http://*.needed.example:{port}"),
        ),
        reach(
            "granted",
            "needed.example",
            &format!("http://needed.example:{port}"),
        ),
        reach(
            "granted-below",
            "api.needed.example",
            &format!("http://*.needed.example:{port}"),
        ),
    ];
    let host = hostile::start(
        &format!("[server.gate]\nnameservers = [\"{}\"]\n", names.address()),
        &channels,
    )
    .await?;
    let rest = host.rest()?;
    for channel in &channels[..6] {
        let job = only_job(
            &rest,
            &follow::submit_and_wait(&rest, &upsert(&channel.name, "p1")).await?,
        )
        .await?;
        assert_eq!(
            job["problem"]["code"], "reach.denied",
            "{}: {job:#}",
            channel.name
        );
        assert!(
            job["problem"]["message"]
                .as_str()
                .is_some_and(|m| m.contains("is not granted")),
            "{}: {job:#}",
            channel.name
        );
    }
    assert!(target.arrived().is_empty(), "nothing was sent");
    for channel in &channels[6..] {
        let job = only_job(
            &rest,
            &follow::submit_and_wait(&rest, &upsert(&channel.name, "p1")).await?,
        )
        .await?;
        assert_eq!(
            job["problem"]["code"], "reach.answered",
            "{}: {job:#}",
            channel.name
        );
    }
    // The credential is valid for the hosts that an operator grants.
    let seen: Vec<String> = target
        .arrived()
        .into_iter()
        .map(|request| request.authorization)
        .collect();
    assert_eq!(seen, ["Bearer s3cret-of-the-shop"; 2]);
    Ok(())
}

#[tokio::test]
async fn redirected_setting_keeps_the_secret_back() -> Result<()> {
    let (target, elsewhere) = (Target::start().await?, Target::start().await?);
    // Probes are frequent: a check that passes must not free the connection.
    let server = "[server.dispatch]\nprobe_min_ms = 50\nprobe_max_ms = 50\n";
    let host = hostile::start(server, &[]).await?;
    let operator = host.rest()?;
    let channel = operator
        .request(Method::PUT, "/v1/channels/reach")
        .json(&json!({"connector": "hostile"}));
    operator.send(channel).await?.expect(201)?;
    let mut document = json!({
        "settings": {"behave": "reach", "target_url": target.url("/ok")},
        "auth": {"scheme": "bearer", "token": {"value": "secret-of-the-operator"}},
        "allow_addresses": ["127.0.0.1/32"],
    });
    put(&operator, &document).await?.expect(201)?;
    follow::submit_and_wait(&operator, &upsert("reach", "p1")).await?;
    assert_eq!(
        target.arrived()[0].authorization,
        "Bearer secret-of-the-operator"
    );

    let (status, key) = operator
        .post(
            "/v1/keys",
            &json!({"role": "admin", "subscription": "acme"}),
        )
        .await?;
    assert_eq!(status, 201, "{key}");
    let tenant = operator.with_key(key["key"].as_str());
    document["settings"]["target_url"] = json!(elsewhere.url("/ok"));
    document["auth"]["token"] = json!({"stored": true});
    // A tenant cannot point a setting at private addresses that the operator opened.
    let refused = put(&tenant, &document).await?.expect(403)?;
    assert!(
        refused.json["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("allow_addresses")),
        "{}",
        refused.text
    );
    let turned = put(&operator, &document).await?.expect(200)?;
    assert_eq!(
        (
            &turned.json["status"]["state"],
            &turned.json["status"]["reason"]
        ),
        (&json!("parked"), &json!("credential needs re-entry"))
    );
    let waiting = follow::submit(&operator, &upsert("reach", "p2")).await?;
    follow::until_waits_for(&operator, &waiting, "parked").await?;
    until_probed(&host).await?;
    assert_eq!(
        only_job(&operator, &waiting).await?["waiting"]["kind"],
        "parked",
        "a check freed the connection"
    );
    assert!(elsewhere.arrived().is_empty());

    document["auth"]["token"] = json!({"value": "secret-of-the-tenant"});
    assert_eq!(
        put(&tenant, &document).await?.expect(200)?.json["status"]["state"],
        "active"
    );
    follow::until_done(&operator, &waiting).await?;
    let seen: Vec<String> = elsewhere
        .arrived()
        .into_iter()
        .map(|request| request.authorization)
        .collect();
    assert_eq!(seen, ["Bearer secret-of-the-tenant"]);
    Ok(())
}

async fn put(rest: &Rest, document: &Value) -> Result<Answer> {
    rest.send(rest.request(Method::PUT, CONNECTION).json(document))
        .await
}

/// Waits until the parked connection was probed, which only the log shows.
async fn until_probed(host: &TestHost) -> Result<()> {
    loop {
        let log = std::fs::read_to_string(host.directory().join("host.log"))?;
        if log.contains("connection probe failed") || log.contains("connection works again") {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

async fn only_job(rest: &Rest, execution: &Value) -> Result<Value> {
    follow::jobs(rest, execution)
        .await?
        .into_iter()
        .next()
        .context("one job")
}
