//! The data directory: backups restore, an incomplete database is refused with the reason, and a
//! lost admin key is replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egression_sandbox::Scenario;
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::rest::Rest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Harness, Setup, category, category_job};

const STOP_WITHIN: Duration = Duration::from_secs(20);

async fn delivered() -> Result<(Harness, String)> {
    let harness = Setup::default().start().await?;
    let execution = harness
        .bulk(json!({}), vec![category_job("c1", &category("1"))])
        .await?;
    harness.expect_all_succeeded(&execution, 1).await?;
    Ok((harness, execution))
}

/// `egression key create --offline` on the data directory.
async fn offline_key(data_dir: &Path, options: &[&str]) -> Result<std::process::Output> {
    let mut command = Command::new(binary::egression()?);
    command
        .args([
            "key",
            "create",
            "--offline",
            "--output",
            "json",
            "--data-dir",
        ])
        .arg(data_dir)
        .args(options)
        .env_remove("EGRESSION_KEY")
        .kill_on_drop(true);
    Ok(command.output().await?)
}

async fn created(data_dir: &Path, options: &[&str]) -> Result<Value> {
    let output = offline_key(data_dir, options).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn refusal(data_dir: &Path, options: &[&str]) -> Result<String> {
    let output = offline_key(data_dir, options).await?;
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    ensure!(output.stdout.is_empty(), "no key was printed");
    Ok(String::from_utf8(output.stderr)?)
}

/// A host in another directory, with this database and what belongs to it, but no admin key.
fn restored(harness: &Harness, database: &Path) -> Result<(TempDir, TestHost)> {
    let directory = tempfile::tempdir()?;
    let (from, to) = (harness.host.data_dir(), directory.path().join("data"));
    std::fs::create_dir_all(to.join("connectors"))?;
    std::fs::copy(database, to.join("egression.db"))?;
    std::fs::copy(from.join("master.key"), to.join("master.key"))?;
    for file in std::fs::read_dir(from.join("connectors"))? {
        let file = file?;
        std::fs::copy(file.path(), to.join("connectors").join(file.file_name()))?;
    }
    let text = std::fs::read_to_string(harness.host.directory().join("egression.toml"))?;
    let mut host = TestHost::new(binary::egression()?, directory.path().to_owned(), &text)?;
    let scenario = Scenario::default();
    host.env("SHOP_SECRET", &scenario.credentials.client_secret);
    Ok((directory, host))
}

/// Starts the restored host with a new admin key, and expects the execution and a delivery.
async fn expect_restored(mut host: TestHost, execution: &str) -> Result<()> {
    let key = created(&host.data_dir(), &["--role", "admin"]).await?;
    host.restart().await?;
    ensure!(
        !host.data_dir().join("admin.key").exists(),
        "it is the old store, so the first start's key is not created again"
    );
    let key = key["key"].as_str().context("the key")?.to_owned();
    let rest = Rest::new(host.url()?, Some(key))?;
    let view: Value = rest.get(&format!("/v1/executions/{execution}")).await?;
    assert_eq!(view["counts"]["succeeded"], 1, "{view}");
    let mut job = category_job("c2", &category("2"));
    job["subscription"] = json!("acme");
    job["channel"] = json!("shop");
    job["action"] = json!("upsert");
    let request = rest.request(reqwest::Method::POST, "/v1/jobs");
    let answer = rest
        .send(request.header("Prefer", "wait=30").json(&job))
        .await?
        .expect(200)?;
    assert_eq!(answer.json["status"], "succeeded", "{}", answer.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_of_a_stopped_host_is_a_backup() {
    let (mut harness, execution) = delivered().await.unwrap();
    harness.host.stop(STOP_WITHIN).await.unwrap();
    let log = harness.host.data_dir().join("egression.db-wal");
    assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0);
    let database = harness.host.data_dir().join("egression.db");
    let (_directory, host) = restored(&harness, &database).unwrap();
    expect_restored(host, &execution).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn online_backup_of_a_running_host_restores() {
    let (harness, execution) = delivered().await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup.db");
    // SQLite's backup API, as `sqlite3 egression.db ".backup backup.db"` calls it.
    let script = "import sqlite3, sys\n\
        source, target = (sqlite3.connect(path) for path in sys.argv[1:3])\n\
        source.backup(target)\n\
        target.close()\n";
    let made = Command::new("python3")
        .args(["-c", script])
        .arg(harness.host.data_dir().join("egression.db"))
        .arg(&backup)
        .status()
        .await
        .unwrap();
    assert!(made.success());
    let (_directory, host) = restored(&harness, &backup).unwrap();
    expect_restored(host, &execution).await.unwrap();
}

/// Moves a file of the data directory away, expects that the host refuses to start with this text,
/// and puts the file back.
async fn expect_refused_without(harness: &mut Harness, name: &str, text: &str) -> Result<()> {
    let file: PathBuf = harness.host.data_dir().join(name);
    let kept = harness.host.directory().join("kept");
    std::fs::rename(&file, &kept)?;
    let refused = harness.host.restart().await;
    let said = format!("{:?}", refused.err().context("the host started")?);
    ensure!(said.contains(text), "{said}");
    std::fs::rename(&kept, &file)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_refuses_to_start_without_its_database_or_log() {
    let (mut harness, execution) = delivered().await.unwrap();
    let key = harness.host.admin_key().unwrap();
    harness.host.kill9().await.unwrap();
    expect_refused_without(&mut harness, "egression.db-wal", "is not complete")
        .await
        .unwrap();
    harness.restart().await.unwrap();
    let view = harness.view(&execution).await.unwrap();
    assert_eq!(view["counts"]["succeeded"], 1, "{view}");
    harness.host.stop(STOP_WITHIN).await.unwrap();
    expect_refused_without(&mut harness, "egression.db", "a store was here")
        .await
        .unwrap();
    harness.restart().await.unwrap();
    let view = harness.view(&execution).await.unwrap();
    assert_eq!(view["counts"]["succeeded"], 1, "{view}");
    assert_eq!(harness.host.admin_key().unwrap(), key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_key_replaces_a_lost_admin_key() {
    let (mut harness, _) = delivered().await.unwrap();
    let data_dir = harness.host.data_dir();
    let said = refusal(&data_dir, &["--role", "admin"]).await.unwrap();
    let process = format!("process {} since", harness.host.id().unwrap());
    assert!(said.contains(&process), "{said}");
    harness.host.stop(STOP_WITHIN).await.unwrap();
    std::fs::remove_file(data_dir.join("admin.key")).unwrap();

    let options = ["--role", "submit", "--subscription", "nobody"];
    let said = refusal(&data_dir, &options).await.unwrap();
    assert!(said.contains("unknown subscription `nobody`"), "{said}");
    let nowhere = harness.host.directory().join("nowhere");
    let said = refusal(&nowhere, &["--role", "admin"]).await.unwrap();
    assert!(said.contains("has no store") && !nowhere.exists(), "{said}");

    let options = [
        "--role",
        "submit",
        "--subscription",
        "acme",
        "--label",
        "erp",
    ];
    let bound = created(&data_dir, &options).await.unwrap();
    let admin = created(&data_dir, &["--role", "admin"]).await.unwrap();
    harness.host.restart().await.unwrap();
    let rest = |key: &Value| {
        let key = key["key"].as_str().map(str::to_owned);
        Rest::new(harness.host.url().unwrap(), key).unwrap()
    };
    let keys: Value = rest(&admin).get("/v1/keys").await.unwrap();
    let listed = keys["items"].as_array().unwrap();
    let erp = listed.iter().find(|key| key["label"] == "erp").unwrap();
    assert_eq!(
        (&erp["id"], &erp["role"], &erp["subscription"]),
        (&bound["id"], &json!("submit"), &json!("acme"))
    );
    assert!(erp["key"].is_null(), "it was shown once");
    assert_eq!(rest(&bound).get_status("/v1/executions").await, Some(200));
    assert_eq!(rest(&bound).get_status("/v1/keys").await, Some(403));
}
