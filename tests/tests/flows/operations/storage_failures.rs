//! A locked database and a full disk: the host refuses work with the reason, loses nothing that it
//! acknowledged, and recovers automatically.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use egression_sandbox::{Faults, Latency, Scenario, ScenarioChange, Shop};
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::shop::ShopLog;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::harness::{FAST_RETRY, Harness, PATIENCE, Setup, category, category_job};

fn jobs(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| category_job(&format!("c{n}"), &category(&format!("{n}"))))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_database_refuses_then_recovers() {
    let faults = Faults {
        latency: Latency {
            share: 1.0,
            ms: 200,
        },
        ..Faults::default()
    };
    let harness = Setup {
        scenario: Scenario {
            faults,
            ..Scenario::default()
        },
        server: "[server.store]\nbusy_timeout_ms = 300\n".to_owned(),
        channel: format!("max_items = 5\nmax_calls = 2\n{FAST_RETRY}"),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let execution = harness.bulk(json!({}), jobs(40)).await.unwrap();
    harness
        .until(&execution, |view| {
            view["counts"]["in_flight"].as_u64() > Some(0)
        })
        .await
        .unwrap();

    let file = harness.host.data_dir().join("egression.db");
    let mut lock = SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut lock)
        .await
        .unwrap();
    let refused = harness
        .rest
        .request(reqwest::Method::POST, "/v1/bulk")
        .json(&bulk(1))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "store_busy", "{problem}");
    sqlx::query("ROLLBACK").execute(&mut lock).await.unwrap();
    lock.close().await.unwrap();

    harness.expect_all_succeeded(&execution, 40).await.unwrap();
    assert_eq!(harness.shop.report().repeated_other_key, 0);
    assert_eq!(
        harness
            .deliver(category_job("after", &category("after")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

fn bulk(count: usize) -> Value {
    let defaults = json!({"subscription": "acme", "channels": ["shop"], "action": "upsert"});
    json!({"defaults": defaults, "jobs": jobs(count)})
}

/// A file system of a few megabytes. Dropping it unmounts it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None if this user may not mount; prints the reason.
    fn mount(directory: &Path, size: &str) -> Result<Option<Self>> {
        let place = directory.join("small");
        std::fs::create_dir(&place)?;
        let said = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&place)
            .output();
        match said {
            Ok(output) if output.status.success() => Ok(Some(Self(place))),
            Ok(output) => {
                eprintln!(
                    "skipped: cannot mount a small file system: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                Ok(None)
            }
            Err(error) => {
                eprintln!("skipped: cannot run `mount`: {error}");
                Ok(None)
            }
        }
    }

    /// Fills the file system except for this many bytes.
    fn fill(&self, leave_bytes: usize) -> Result<()> {
        let file = self.0.join("ballast");
        let mut bytes = vec![0; 64 * 1024];
        bytes.fill(7);
        let mut ballast = std::fs::File::create(&file)?;
        let mut written = 0;
        while std::io::Write::write_all(&mut ballast, &bytes).is_ok() {
            written += bytes.len();
        }
        ballast.set_len(written.saturating_sub(leave_bytes) as u64)?;
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount, because a host that is being killed can still hold files.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// The host is not ready, and says why.
async fn expect_degraded(harness: &Harness) -> Result<()> {
    let answer = harness
        .rest
        .send(harness.rest.request(reqwest::Method::GET, "/readyz"))
        .await?
        .expect(503)?;
    assert_eq!(answer.code(), "degraded", "{}", answer.text);
    assert!(
        answer.text.contains("the store cannot write"),
        "{}",
        answer.text
    );
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(harness.rest.get_status("/livez").await, Some(200));
    Ok(())
}

/// Waits until the host is ready, which nobody tells.
async fn until_ready(harness: &Harness) -> Result<()> {
    let ready = async {
        while harness.rest.get_status("/readyz").await != Some(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, ready).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_then_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path(), "24m").unwrap() else {
        return;
    };
    let slow = Faults {
        latency: Latency {
            share: 1.0,
            ms: 2000,
        },
        ..Faults::default()
    };
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("http://{}", shop.addr());
    let setup = Setup {
        channel: format!("max_items = 5\nmax_calls = 4\n{FAST_RETRY}"),
        ..Setup::default()
    };
    let host = TestHost::new(
        binary::egression().unwrap(),
        disk.0.clone(),
        &setup.text(&url),
    )
    .unwrap();
    let mut harness = setup.install(host, shop).await.unwrap();
    let first = harness.bulk(json!({}), jobs(20)).await.unwrap();
    harness.expect_all_succeeded(&first, 20).await.unwrap();

    // Four calls are answered while the disk is full.
    let change = ScenarioChange {
        faults: Some(slow),
        ..ScenarioChange::default()
    };
    harness.log.change(&change).await.unwrap();
    let kept = (0..20).map(|n| category_job(&format!("k{n}"), &category("kept")));
    let in_flight = harness.bulk(json!({}), kept.collect()).await.unwrap();
    harness
        .until(&in_flight, |view| view["counts"]["in_flight"] == 20)
        .await
        .unwrap();
    disk.fill(0).unwrap();
    let problem = until_full(&harness).await.unwrap();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&json!(503), &json!("storage_full")),
        "{problem}"
    );
    expect_degraded(&harness).await.unwrap();
    harness.host.expect_running().unwrap();
    let change = ScenarioChange {
        faults: Some(Faults::default()),
        ..ScenarioChange::default()
    };
    harness.log.change(&change).await.unwrap();
    disk.empty().unwrap();
    until_ready(&harness).await.unwrap();
    harness.expect_all_succeeded(&in_flight, 20).await.unwrap();
    let writes = harness.log.writes().await.unwrap();
    let kept = writes.iter().filter(|write| write.id.starts_with('k'));
    assert_eq!(
        kept.count(),
        20,
        "the outcomes were kept, so nothing was sent again"
    );

    let second = harness.bulk(json!({}), jobs(20)).await.unwrap();
    harness.expect_all_succeeded(&second, 20).await.unwrap();
    let acknowledged: Value = harness.rest.get("/v1/executions?limit=1000").await.unwrap();
    for execution in acknowledged["items"].as_array().unwrap() {
        let view = harness
            .done(execution["id"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(
            view["counts"]["succeeded"], view["counts"]["total"],
            "{view}"
        );
    }
    let _log: &ShopLog = &harness.log;
}

/// A script that starts the host with a soft limit on file sizes, like a quota. The limit applies
/// while the returned file exists.
fn bounded(directory: &Path) -> Result<(PathBuf, PathBuf)> {
    use std::os::unix::fs::PermissionsExt as _;
    let (script, bound) = (directory.join("bounded"), directory.join("bound"));
    let host = binary::egression()?;
    // The script ignores the signal that would kill the host, so that the write fails instead. The
    // limit is 16384 blocks of 512 bytes.
    let text = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then trap '' XFSZ; ulimit -S -f 16384; fi\nexec '{}' \"$@\"\n",
        bound.display(),
        host.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(&bound, "")?;
    Ok((script, bound))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_size_limit_refuses_then_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let (script, bound) = bounded(directory.path()).unwrap();
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("http://{}", shop.addr());
    let setup = Setup {
        channel: FAST_RETRY.to_owned(),
        ..Setup::default()
    };
    let host = TestHost::new(script, directory.path().to_owned(), &setup.text(&url)).unwrap();
    let mut harness = setup.install(host, shop).await.unwrap();
    let problem = until_full(&harness).await.unwrap();
    let told = (problem["status"].as_u64(), problem["code"].as_str());
    assert!(
        [
            (Some(503), Some("storage_full")),
            (Some(503), Some("store_disk"))
        ]
        .contains(&told),
        "{problem}"
    );
    expect_degraded(&harness).await.unwrap();
    harness.host.expect_running().unwrap();

    std::fs::remove_file(bound).unwrap();
    let lifted = Command::new("prlimit")
        .args([
            "--fsize=unlimited:unlimited",
            "--pid",
            &harness.host.id().unwrap().to_string(),
        ])
        .status();
    if !lifted.is_ok_and(|status| status.success()) {
        eprintln!("the bound of a running host cannot be lifted here; a restart lifts it");
        harness.host.kill9().await.unwrap();
        harness.restart().await.unwrap();
    }
    harness.host.expect_running().unwrap();
    until_ready(&harness).await.unwrap();
    let second = harness.bulk(json!({}), jobs(50)).await.unwrap();
    harness.expect_all_succeeded(&second, 50).await.unwrap();
    let acknowledged: Value = harness.rest.get("/v1/executions?limit=1000").await.unwrap();
    let acknowledged = acknowledged["items"].as_array().unwrap();
    assert!(acknowledged.len() > 1, "something was acknowledged before");
    for execution in acknowledged {
        let view = harness
            .done(execution["id"].as_str().unwrap())
            .await
            .unwrap();
        assert_eq!(
            (&view["counts"]["succeeded"], &view["counts"]["total"]),
            (&json!(50), &json!(50)),
            "{view}"
        );
    }
}

/// Submits until the store refuses, and returns the refusal. All earlier submissions are
/// acknowledged.
async fn until_full(harness: &Harness) -> Result<Value> {
    for _ in 0..2000 {
        let (status, answer) = harness.rest.post("/v1/bulk", &bulk(50)).await?;
        if !status.is_success() {
            return Ok(answer);
        }
    }
    anyhow::bail!("the disk did not fill up")
}
