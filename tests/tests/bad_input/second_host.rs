//! One host per store: a second host names the first, no deleted file lets it in, and the kernel
//! releases the lock of a killed host.

use std::path::Path;

use anyhow::{Context, Result};
use egression_tests::binary;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use tokio::process::Command;

#[tokio::test]
async fn second_host_waits_for_the_end_of_the_first() -> Result<()> {
    let mut host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let said = refused(&host.data_dir()).await?;
    let holder = std::fs::read_to_string(host.data_dir().join("egression.holder"))?;
    let process = holder
        .split_whitespace()
        .nth(1)
        .context("`process N since T`")?;
    assert!(
        process.parse::<u32>().is_ok() && said.contains(&format!("process {process} since")),
        "{holder}: {said}"
    );

    let rest = host.rest()?;
    let before = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(
        before["status"], "succeeded",
        "the first host was disturbed"
    );

    // All files that a host can do without.
    for name in ["egression.holder", "egression.store", "admin.key"] {
        std::fs::rename(host.data_dir().join(name), host.directory().join(name))?;
    }
    let said = refused(&host.data_dir()).await?;
    assert!(said.contains("in use by another process"), "{said}");
    // The same database through another directory.
    let link = tempfile::tempdir()?;
    std::os::unix::fs::symlink(
        host.data_dir().join("egression.db"),
        link.path().join("egression.db"),
    )?;
    let said = refused(link.path()).await?;
    assert!(said.contains("through another directory"), "{said}");
    std::fs::rename(
        host.directory().join("admin.key"),
        host.data_dir().join("admin.key"),
    )?;

    host.kill9().await?;
    host.restart().await?;
    let rest = host.rest()?;
    assert_eq!(
        follow::look(&rest, &before).await?["status"],
        "succeeded",
        "acknowledged work is missing"
    );
    let after = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(after["status"], "succeeded");
    Ok(())
}

/// Starts a second host, which must end at once, and returns what it said.
async fn refused(data_dir: &Path) -> Result<String> {
    let mut second = Command::new(binary::egression()?);
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .kill_on_drop(true);
    let output = second.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "it never listened for anyone");
    Ok(said)
}
