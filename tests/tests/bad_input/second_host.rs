//! One host per data directory: a second host names the first, and the kernel releases the lock of
//! a killed host.

use anyhow::{Context, Result};
use egression_tests::binary;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use tokio::process::Command;

#[tokio::test]
async fn second_host_waits_for_the_end_of_the_first() -> Result<()> {
    let mut host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let mut second = Command::new(binary::egression()?);
    second
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(host.data_dir())
        .kill_on_drop(true);
    let output = second.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty(), "it never listened for anyone");
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
