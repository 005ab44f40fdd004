//! Watches the settled fraction, kills the host at the drawn fractions, and starts it again until
//! all jobs are done.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use egression_tests::host::TestHost;
use egression_tests::rest::Rest;
use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::plan::Plan;
use crate::submitter::Progress;

/// The interval of polling; there is no signal for a fraction.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The database in the data directory.
const DATABASE: &str = "egression.db";

#[derive(Clone, Copy, Debug, Default)]
pub struct Killed {
    /// The number of kills; fractions that were reached after the end do not count.
    pub kills: u64,
    /// The sum of open intents at the kills. These sends may be repeated.
    pub open_intents: u64,
}

/// The settled jobs among all acknowledged ones.
#[derive(Default)]
struct Settled {
    finished: HashSet<String>,
    in_finished: u64,
}

/// Ends when every job is settled and every submission acknowledged.
pub async fn kill_and_wait(
    plan: &Plan,
    host: &mut TestHost,
    running: &watch::Sender<Option<Rest>>,
    progress: &Arc<Progress>,
    directory: &Path,
) -> Result<Killed> {
    let mut killed = Killed::default();
    let mut settled = Settled::default();
    let mut moments = plan.moments().into_iter().peekable();
    loop {
        host.expect_running()?;
        let jobs = settled.count(&host.rest()?, progress).await?;
        if jobs >= plan.jobs() {
            return Ok(killed);
        }
        #[allow(clippy::cast_precision_loss)]
        let fraction = jobs as f64 / plan.jobs() as f64;
        if moments.next_if(|moment| *moment <= fraction).is_some() {
            running.send_replace(None);
            host.kill9().await?;
            killed.kills += 1;
            killed.open_intents += open_intents(&host.data_dir(), directory).await?;
            host.restart().await?;
            running.send_replace(Some(host.rest()?));
        } else {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Settled {
    /// Polls the executions that were not done at the last poll.
    async fn count(&mut self, rest: &Rest, progress: &Progress) -> Result<u64> {
        let mut jobs = self.in_finished;
        for id in progress.executions() {
            if self.finished.contains(&id) {
                continue;
            }
            let execution: Value = rest.get(&format!("/v1/executions/{id}")).await?;
            let count = |name: &str| {
                execution["counts"][name]
                    .as_u64()
                    .with_context(|| format!("no count {name} in {execution}"))
            };
            let open = count("waiting")? + count("in_flight")? + count("accepted")?;
            let finished = count("total")? - open;
            jobs += finished;
            if execution["done"] == true {
                anyhow::ensure!(
                    execution["status"] == "succeeded",
                    "an execution did not succeed: {execution}"
                );
                self.in_finished += finished;
                self.finished.insert(id);
            }
        }
        Ok(jobs)
    }
}

/// Counts in a copy of the killed host's database, because only a host may open the original.
async fn open_intents(data_dir: &Path, directory: &Path) -> Result<u64> {
    let copy = directory.join("at-the-kill.db");
    for suffix in ["", "-wal"] {
        let (from, to) = (
            data_dir.join(format!("{DATABASE}{suffix}")),
            directory.join(format!("at-the-kill.db{suffix}")),
        );
        // The write-ahead log is optional; the database must exist.
        match std::fs::copy(&from, &to) {
            Err(_) if suffix == "-wal" => drop(std::fs::remove_file(&to)),
            outcome => {
                outcome.with_context(|| format!("{} cannot be copied", from.display()))?;
            }
        }
    }
    drop(std::fs::remove_file(directory.join("at-the-kill.db-shm")));
    let mut database = SqliteConnectOptions::new()
        .filename(&copy)
        .connect()
        .await?;
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM intent WHERE open = TRUE")
        .fetch_one(&mut database)
        .await?;
    Ok(u64::try_from(open)?)
}
