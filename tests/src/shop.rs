//! A sandbox shop as a separate process, and a reader of its log.

use std::path::Path;

use anyhow::{Result, bail};
use egression_sandbox::{Report, Scenario, ScenarioChange};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::process::Running;
use crate::rest::Rest;

#[derive(Debug)]
pub struct ShopProcess {
    running: Running,
    log: ShopLog,
}

impl ShopProcess {
    /// Starts `egression sandbox` on a free port. The scenario goes to `<name>.json` in the
    /// directory.
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

    #[must_use]
    pub const fn log(&self) -> &ShopLog {
        &self.log
    }

    /// # Errors
    /// The shop has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        self.running.expect_running()
    }

    /// Kills it.
    ///
    /// # Errors
    /// The process cannot be killed.
    pub async fn end(self) -> Result<()> {
        self.running.kill().await
    }
}

/// The control surface of any running shop.
#[derive(Clone, Debug)]
pub struct ShopLog(Rest);

/// One item that reached the shop.
#[derive(Clone, Debug, Deserialize)]
pub struct Write {
    /// From 1.
    pub seq: u64,
    /// The `seq` of its call.
    pub call: u64,
    #[serde(rename = "type")]
    pub object_type: String,
    pub id: String,
    /// create, update, upsert or delete; none for an invalid item.
    pub action: Option<String>,
    pub idempotency_key: Option<String>,
    /// The canonical digest of its body.
    pub digest: Option<String>,
    /// Applied now, for the first time.
    pub applied: bool,
    /// Answered from the idempotency key.
    pub replayed: bool,
    pub status: u16,
}

/// One request that reached the shop.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// From 1.
    pub seq: u64,
    /// The arrival of its head, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// The path with its leading slash.
    pub path: String,
    /// 0 without an answer.
    pub status: u16,
    /// The number of its items.
    pub items: u64,
    /// Whether it counted against the limits.
    pub counted: bool,
}

/// One object of the shop.
#[derive(Clone, Debug, Deserialize)]
pub struct Present {
    #[serde(rename = "type")]
    pub object_type: String,
    pub id: String,
    /// The canonical digest of its body.
    pub digest: String,
    pub body: Value,
}

impl ShopLog {
    /// The log of the shop at this URL.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        Ok(Self(Rest::new(url, None)?))
    }

    /// The counts.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn report(&self) -> Result<Report> {
        self.0.get("/_sandbox/report").await
    }

    /// Every request.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn calls(&self) -> Result<Vec<Call>> {
        self.0.get_lines("/_sandbox/calls").await
    }

    /// Every item.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        self.0.get_lines("/_sandbox/writes").await
    }

    /// Replaces parts of its scenario while it runs.
    ///
    /// # Errors
    /// The shop does not answer, or refuses the change.
    pub async fn change(&self, change: &ScenarioChange) -> Result<()> {
        let answer = self
            .0
            .request(Method::PUT, "/_sandbox/scenario")
            .json(change)
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("the shop refused the scenario: {}", answer.text().await?);
        }
        Ok(())
    }

    /// All objects.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn objects(&self) -> Result<Vec<Present>> {
        self.0.get_lines("/_sandbox/objects").await
    }
}
