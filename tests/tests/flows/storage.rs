//! The database is locked, or the disk is full: refusals say so, nothing acknowledged is lost, and
//! it goes on by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use egression_sandbox::{Faults, Latency, Scenario, Shop};
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::shop::ShopLog;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::rig::{FAST_RETRY, Layout, Rig, category, category_job};

fn jobs(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| category_job(&format!("c{n}"), &category(&format!("{n}"))))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_refuses_and_goes_on() {
    let faults = Faults {
        latency: Latency {
            share: 1.0,
            ms: 200,
        },
        ..Faults::default()
    };
    let rig = Layout {
        scenario: Scenario {
            faults,
            ..Scenario::default()
        },
        server: "[server.store]\nbusy_timeout_ms = 300\n".to_owned(),
        channel: format!("max_items = 5\nmax_calls = 2\n{FAST_RETRY}"),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let execution = rig.bulk(json!({}), jobs(40)).await.unwrap();
    rig.until(&execution, |view| {
        view["counts"]["in_flight"].as_u64() > Some(0)
    })
    .await
    .unwrap();

    let file = rig.host.data_dir().join("egression.db");
    let mut lock = SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await
        .unwrap();
    sqlx::query("BEGIN EXCLUSIVE")
        .execute(&mut lock)
        .await
        .unwrap();
    let refused = rig
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

    rig.expect_all_succeeded(&execution, 40).await.unwrap();
    assert_eq!(rig.shop.report().repeated_other_key, 0);
    assert_eq!(
        rig.deliver(category_job("after", &category("after")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

fn bulk(count: usize) -> Value {
    json!({"defaults": {"subscription": "acme", "channels": ["shop"], "action": "upsert"}, "jobs": jobs(count)})
}

/// A file system of a few megabytes. Gone with the handle.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, with the reason printed, where this user may not mount.
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
                    "skipped: a small file system cannot be mounted: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                Ok(None)
            }
            Err(error) => {
                eprintln!("skipped: `mount` cannot be run: {error}");
                Ok(None)
            }
        }
    }

    /// Takes all that is free but this much.
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
        // Lazily: a host that is being killed may still hold files.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path(), "24m").unwrap() else {
        return;
    };
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("http://{}", shop.addr());
    let layout = Layout {
        channel: FAST_RETRY.to_owned(),
        ..Layout::default()
    };
    let host = TestHost::new(
        binary::egression().unwrap(),
        disk.0.clone(),
        &layout.text(&url),
    )
    .unwrap();
    let mut rig = layout.install(host, shop).await.unwrap();
    let first = rig.bulk(json!({}), jobs(20)).await.unwrap();
    rig.expect_all_succeeded(&first, 20).await.unwrap();

    disk.fill(0).unwrap();
    let problem = until_full(&rig).await.unwrap();
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&json!(507), &json!("storage_full")),
        "{problem}"
    );
    rig.host.expect_running().unwrap();
    disk.empty().unwrap();

    let second = rig.bulk(json!({}), jobs(20)).await.unwrap();
    rig.expect_all_succeeded(&second, 20).await.unwrap();
    let acknowledged: Value = rig.rest.get("/v1/executions?limit=1000").await.unwrap();
    for execution in acknowledged["items"].as_array().unwrap() {
        let view = rig.done(execution["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(
            view["counts"]["succeeded"], view["counts"]["total"],
            "{view}"
        );
    }
    let _log: &ShopLog = &rig.log;
}

/// The host under a soft bound on the size of its files, as a quota would set one, while the
/// returned file is there.
fn bounded(directory: &Path) -> Result<(PathBuf, PathBuf)> {
    use std::os::unix::fs::PermissionsExt as _;
    let (script, bound) = (directory.join("bounded"), directory.join("bound"));
    let host = binary::egression()?;
    // The system's signal for it would end the host at once; ignored, the write itself fails. 16384
    // blocks of 512 bytes.
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
async fn a_file_that_may_not_grow_refuses_until_it_may_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (script, bound) = bounded(directory.path()).unwrap();
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("http://{}", shop.addr());
    let layout = Layout {
        channel: FAST_RETRY.to_owned(),
        ..Layout::default()
    };
    let host = TestHost::new(script, directory.path().to_owned(), &layout.text(&url)).unwrap();
    let mut rig = layout.install(host, shop).await.unwrap();
    let problem = until_full(&rig).await.unwrap();
    let told = (problem["status"].as_u64(), problem["code"].as_str());
    assert!(
        [
            (Some(507), Some("storage_full")),
            (Some(503), Some("store_disk"))
        ]
        .contains(&told),
        "{problem}"
    );
    rig.host.expect_running().unwrap();

    std::fs::remove_file(bound).unwrap();
    let lifted = Command::new("prlimit")
        .args([
            "--fsize=unlimited:unlimited",
            "--pid",
            &rig.host.id().unwrap().to_string(),
        ])
        .status();
    if !lifted.is_ok_and(|status| status.success()) {
        eprintln!("the bound of a running host cannot be lifted here; a restart lifts it");
        rig.host.kill9().await.unwrap();
        rig.restart().await.unwrap();
    }
    rig.host.expect_running().unwrap();
    let second = rig.bulk(json!({}), jobs(50)).await.unwrap();
    rig.expect_all_succeeded(&second, 50).await.unwrap();
    let acknowledged: Value = rig.rest.get("/v1/executions?limit=1000").await.unwrap();
    let acknowledged = acknowledged["items"].as_array().unwrap();
    assert!(acknowledged.len() > 1, "something was acknowledged before");
    for execution in acknowledged {
        let view = rig.done(execution["id"].as_str().unwrap()).await.unwrap();
        assert_eq!(
            (&view["counts"]["succeeded"], &view["counts"]["total"]),
            (&json!(50), &json!(50)),
            "{view}"
        );
    }
}

/// Submits until the store refuses; the refusal. What is taken until then is acknowledged, and
/// counts.
async fn until_full(rig: &Rig) -> Result<Value> {
    for _ in 0..2000 {
        let (status, answer) = rig.rest.post("/v1/bulk", &bulk(50)).await?;
        if !status.is_success() {
            return Ok(answer);
        }
    }
    anyhow::bail!("the disk did not fill up")
}
