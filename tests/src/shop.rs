//! A sandbox shop as a process of its own, and what its log tells.

use std::path::Path;

use anyhow::{Result, bail};
use egression_sandbox::{Report, Scenario, ScenarioChange};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::process::Running;
use crate::rest::Rest;

/// A shop that is a child process.
#[derive(Debug)]
pub struct ShopProcess {
    running: Running,
    log: ShopLog,
}

impl ShopProcess {
    /// Starts `egression sandbox` on a free port with the scenario, which is left as `<name>.json`
    /// in the directory.
    ///
    /// # Errors
    /// The shop does not start.
    pub async fn start(
        binary: &Path,
        name: &str,
        scenario: &Scenario,
        directory: &Path,
    ) -> Result<Self> {
        let file = directory.join(format!("{name}.json"));
        std::fs::write(&file, serde_json::to_vec_pretty(scenario)?)?;
        let mut command = Command::new(binary);
        command
            .args(["sandbox", "--listen", "127.0.0.1:0", "--scenario"])
            .arg(&file);
        let running = Running::start(name, command, directory).await?;
        let log = ShopLog::new(running.url())?;
        Ok(Self { running, log })
    }

    /// `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// What the shop knows.
    #[must_use]
    pub const fn log(&self) -> &ShopLog {
        &self.log
    }

    /// Fails if the shop has ended by itself.
    ///
    /// # Errors
    /// It has.
    pub fn expect_running(&mut self) -> Result<()> {
        self.running.expect_running()
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn end(self) -> Result<()> {
        self.running.kill().await
    }
}

/// The control surface of any running shop.
#[derive(Clone, Debug)]
pub struct ShopLog(Rest);

/// One item that reached the shop, in the order in which it was taken or refused.
#[derive(Clone, Debug, Deserialize)]
pub struct Write {
    /// From 1.
    pub seq: u64,
    /// The call that carried it.
    pub call: u64,
    /// The object's type.
    #[serde(rename = "type")]
    pub object_type: String,
    /// The object's id.
    pub id: String,
    /// create, update, upsert or delete; none if it could not be read.
    pub action: Option<String>,
    /// The key that it came under.
    pub idempotency_key: Option<String>,
    /// The canonical digest of its body.
    pub digest: Option<String>,
    /// Taken now and for the first time.
    pub applied: bool,
    /// Answered from the idempotency key.
    pub replayed: bool,
    /// The item's own status.
    pub status: u16,
}

/// One request that reached the shop.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// From 1.
    pub seq: u64,
    /// The arrival of its head, microseconds since the Unix epoch.
    pub at_us: u64,
    /// The path with its leading slash.
    pub path: String,
    /// 0 without an answer.
    pub status: u16,
    /// Items that it carried.
    pub items: u64,
    /// Whether it counted against the limits.
    pub counted: bool,
}

/// One object that is there.
#[derive(Clone, Debug, Deserialize)]
pub struct Present {
    /// The object's type.
    #[serde(rename = "type")]
    pub object_type: String,
    /// The object's id.
    pub id: String,
    /// The canonical digest of its body.
    pub digest: String,
    /// Its body.
    pub body: Value,
}

impl ShopLog {
    /// Of the shop at that URL.
    ///
    /// # Errors
    /// No client can be made.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        Ok(Self(Rest::new(url, None)?))
    }

    /// The counts.
    ///
    /// # Errors
    /// The shop is away.
    pub async fn report(&self) -> Result<Report> {
        self.0.get("/_sandbox/report").await
    }

    /// Every request.
    ///
    /// # Errors
    /// The shop is away.
    pub async fn calls(&self) -> Result<Vec<Call>> {
        self.0.get_lines("/_sandbox/calls").await
    }

    /// Every item.
    ///
    /// # Errors
    /// The shop is away.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        self.0.get_lines("/_sandbox/writes").await
    }

    /// Replaces parts of its scenario while it runs.
    ///
    /// # Errors
    /// The shop is away, or refuses them.
    pub async fn change(&self, change: &ScenarioChange) -> Result<()> {
        let answer = self
            .0
            .request(Method::PUT, "/_sandbox/scenario")
            .json(change)
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("the shop refuses the scenario: {}", answer.text().await?);
        }
        Ok(())
    }

    /// What is there.
    ///
    /// # Errors
    /// The shop is away.
    pub async fn objects(&self) -> Result<Vec<Present>> {
        self.0.get_lines("/_sandbox/objects").await
    }
}
