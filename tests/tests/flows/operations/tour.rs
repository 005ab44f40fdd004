//! The tour of the README, step by step: its configuration, its seven jobs, and the command line.

use anyhow::{Context, Result};
use egression_sandbox::{Scenario, Shop};
use egression_tests::binary;
use egression_tests::host::TestHost;
use serde_json::{Value, json};

use tokio::time::timeout;

use crate::harness::PATIENCE;

/// The address of the shop in the tour.
const SHOP: &str = "127.0.0.1:9090";

/// The exit code of `submit --watch` for an execution that ended with errors.
const ENDED_WITH_ERRORS: i32 = 5;

/// A file in `docs/`.
fn document(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name)
}

/// The JSON output of a command.
async fn told(host: &TestHost, arguments: &[&str]) -> Result<Value> {
    let mut all = vec!["--output", "json"];
    all.extend(arguments);
    Ok(serde_json::from_slice(&host.run(&all).await?.stdout)?)
}

#[tokio::test]
async fn tour_ends_as_in_the_readme() -> Result<()> {
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse()?).await?;
    let text = std::fs::read_to_string(document("tour.toml"))?;
    assert!(text.contains(SHOP), "the tour has another shop address");
    let mut host = TestHost::unstarted(&text.replace(SHOP, &shop.addr().to_string()))?;
    host.env(
        "SHOP_SECRET",
        &Scenario::default().credentials.client_secret,
    );
    host.restart().await?;
    host.install_connector(&binary::connector("sandbox")?)
        .await?;

    let jobs = document("tour.ndjson");
    let mut submit = host.command(&[
        "--output",
        "json",
        "submit",
        "--watch",
        jobs.to_str().context("a path in Unicode")?,
    ])?;
    let ended = timeout(PATIENCE, submit.output()).await??;
    // Two of the seven jobs are invalid on purpose.
    assert_eq!(
        ended.status.code(),
        Some(ENDED_WITH_ERRORS),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let execution: Value = serde_json::from_slice(&ended.stdout)?;
    assert_eq!(execution["status"], "succeeded_with_errors");
    assert_eq!(
        (
            &execution["counts"]["succeeded"],
            &execution["counts"]["rejected"]
        ),
        (&json!(5), &json!(2)),
        "{execution}"
    );
    let codes: Vec<&Value> = execution["errors"]
        .as_array()
        .context("errors")?
        .iter()
        .map(|error| &error["code"])
        .collect();
    assert_eq!(codes, ["body.schema", "unknown_object_type"]);

    // The command line shows the same result.
    let id = execution["id"].as_str().context("an id")?;
    assert_eq!(
        told(&host, &["execution", "get", id]).await?["counts"],
        execution["counts"]
    );
    let rejected = told(&host, &["execution", "jobs", id, "--state", "rejected"]).await?;
    assert_eq!(rejected.as_array().map(Vec::len), Some(2), "{rejected}");
    let offer = told(&host, &["execution", "jobs", id, "--object-id", "4711"]).await?;
    let job = offer[0]["id"].as_str().context("a job")?;
    assert_eq!(
        told(&host, &["job", "get", job]).await?["state"],
        "succeeded"
    );
    let stages = told(&host, &["job", "events", job]).await?;
    let stages: Vec<&Value> = stages
        .as_array()
        .context("events")?
        .iter()
        .map(|event| &event["stage"])
        .collect();
    assert_eq!(stages, ["submitted", "sent", "responded", "succeeded"]);
    Ok(())
}

#[tokio::test]
async fn command_line_configures_a_running_host() -> Result<()> {
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse()?).await?;
    let mut host = TestHost::unstarted("")?;
    host.env(
        "SHOP_SECRET",
        &Scenario::default().credentials.client_secret,
    );
    host.restart().await?;
    let text =
        std::fs::read_to_string(document("tour.toml"))?.replace(SHOP, &shop.addr().to_string());
    let documents = text
        .find("[[subscriptions]]")
        .map(|start| &text[start..])
        .context("documents")?;
    let file = host.directory().join("shop-de.toml");
    std::fs::write(&file, documents)?;
    host.run(&["apply", file.to_str().context("a path in Unicode")?])
        .await?;

    let component = binary::connector("sandbox")?;
    let installed = told(
        &host,
        &[
            "connector",
            "install",
            "--no-activate",
            component.to_str().context("a path in Unicode")?,
        ],
    )
    .await?;
    let version = installed["version"].as_str().context("a version")?;
    assert_eq!(installed["active"], json!(false));
    let activated = String::from_utf8(
        host.run(&["connector", "activate", "sandbox", version])
            .await?
            .stdout,
    )?;
    assert_eq!(
        activated,
        String::from_utf8(host.run(&["connector", "list"]).await?.stdout)?
    );
    assert!(
        activated.contains(version) && activated.contains("true"),
        "{activated}"
    );

    let job = host.directory().join("job.json");
    std::fs::write(
        &job,
        json!({
            "subscription": "acme", "source": "inline", "channel": "shop-de", "action": "upsert",
            "object_type": "brand", "object_ids": ["b1"], "payload": {"name": {"en": "Northwind"}},
        })
        .to_string(),
    )?;
    let key = told(
        &host,
        &[
            "key",
            "create",
            "--role",
            "submit",
            "--subscription",
            "acme",
        ],
    )
    .await?;
    let mut submit = host.command(&[
        "--output",
        "json",
        "submit",
        "--wait",
        "60",
        job.to_str().context("a path in Unicode")?,
    ])?;
    submit.env("EGRESSION_KEY", key["key"].as_str().context("a key")?);
    let ended = submit.output().await?;
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&ended.stdout)?["status"],
        "succeeded"
    );
    host.run(&["key", "revoke", key["id"].as_str().context("an id")?])
        .await?;
    let refused = host
        .command(&["execution", "list"])?
        .env("EGRESSION_KEY", key["key"].as_str().context("a key")?)
        .output()
        .await?;
    assert!(!refused.status.success(), "the key was revoked");
    Ok(())
}
