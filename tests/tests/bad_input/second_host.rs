//! One host a data directory: the second says who is there, and the kernel frees the place of one
//! that was killed.

use anyhow::{Context, Result};
use egression_tests::binary;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use tokio::process::Command;

#[tokio::test]
async fn a_second_host_names_the_first_and_starts_when_that_is_killed() -> Result<()> {
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
        "the first goes on as if nothing had been"
    );

    host.kill9().await?;
    host.restart().await?;
    let rest = host.rest()?;
    assert_eq!(
        follow::look(&rest, &before).await?["status"],
        "succeeded",
        "what was acknowledged is there"
    );
    let after = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(after["status"], "succeeded");
    Ok(())
}
