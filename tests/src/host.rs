//! A host in one line: the real binary with its own data directory.
//!
//! Only this file knows how to start and find a host.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::binary;
use crate::process::Running;
use crate::rest::Rest;

/// How long a host may take to become ready after it printed its address.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The interval between two readiness checks.
const READY_EVERY: Duration = Duration::from_millis(20);
/// The file in the data directory with the admin key of the first start.
const ADMIN_KEY_FILE: &str = "admin.key";

/// A host with its own data directory. Dropping it kills the process.
#[derive(Debug)]
pub struct TestHost {
    binary: PathBuf,
    directory: PathBuf,
    _temporary: Option<TempDir>,
    environment: Vec<(String, String)>,
    running: Option<Running>,
}

impl TestHost {
    /// Starts a host with this configuration, in a temporary directory.
    ///
    /// # Errors
    /// The binary is not built, or the host does not start.
    pub async fn start(configuration: &str) -> Result<Self> {
        let mut host = Self::unstarted(configuration)?;
        host.restart().await?;
        Ok(host)
    }

    /// A host in a temporary directory, not started yet.
    ///
    /// # Errors
    /// The binary is not built, or the configuration cannot be written.
    pub fn unstarted(configuration: &str) -> Result<Self> {
        let temporary = tempfile::tempdir()?;
        let mut host = Self::new(
            binary::egression()?,
            temporary.path().to_owned(),
            configuration,
        )?;
        host._temporary = Some(temporary);
        Ok(host)
    }

    /// A host that keeps its files in the directory, not started yet.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn new(binary: PathBuf, directory: PathBuf, configuration: &str) -> Result<Self> {
        std::fs::write(directory.join("egression.toml"), configuration)?;
        Ok(Self {
            binary,
            directory,
            _temporary: None,
            environment: Vec::new(),
            running: None,
        })
    }

    /// Sets an environment variable for all later starts.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it on the same data directory, on another free port. Does nothing if it is running.
    ///
    /// # Errors
    /// It does not start, or is not ready within 60 s.
    pub async fn restart(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.directory.join("egression.toml"));
        command.arg("--data-dir").arg(self.data_dir());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.running = Some(Running::start("host", command, &self.directory).await?);
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let rest = Rest::new(self.url()?, None)?;
        let wait = async {
            while rest.get_status("/readyz").await != Some(200) {
                self.expect_running()?;
                sleep(READY_EVERY).await;
            }
            anyhow::Ok(())
        };
        match timeout(READY_WITHIN, wait).await {
            Ok(ended) => ended,
            Err(_) => bail!(
                "the host is not ready after {READY_WITHIN:?}\n{}",
                self.last_lines()
            ),
        }
    }

    /// Kills it with SIGKILL and waits for its end. Its data stay.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill9(&mut self) -> Result<()> {
        self.running
            .take()
            .context("the host is not running")?
            .kill()
            .await
    }

    /// Stops it with SIGTERM.
    ///
    /// # Errors
    /// It is not running, or does not stop in time.
    pub async fn stop(&mut self, within: Duration) -> Result<()> {
        self.running
            .take()
            .context("the host is not running")?
            .stop(within)
            .await
    }

    /// # Errors
    /// It has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        self.running
            .as_mut()
            .context("the host is not running")?
            .expect_running()
    }

    /// Its process id; none if it is not running.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(Running::id)
    }

    /// Its URL, which changes with each start.
    ///
    /// # Errors
    /// It is not running.
    pub fn url(&self) -> Result<String> {
        Ok(self
            .running
            .as_ref()
            .context("the host is not running")?
            .url())
    }

    /// A client with the admin key.
    ///
    /// # Errors
    /// It is not running, or has no admin key.
    pub fn rest(&self) -> Result<Rest> {
        Rest::new(self.url()?, Some(self.admin_key()?))
    }

    /// The admin key of the first start.
    ///
    /// # Errors
    /// It does not exist.
    pub fn admin_key(&self) -> Result<String> {
        let file = self.data_dir().join(ADMIN_KEY_FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("no admin key in {}", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// The directory with the database, the connectors and the keys.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The directory with the configuration, the log and the data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_lines(&self) -> String {
        self.running
            .as_ref()
            .map(Running::last_lines)
            .unwrap_or_default()
    }

    /// An `egression` command that talks to this host with the admin key.
    ///
    /// # Errors
    /// It is not running, or has no admin key.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("EGRESSION_URL", self.url()?)
            .env("EGRESSION_KEY", self.admin_key()?)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs an `egression` command to its end.
    ///
    /// # Errors
    /// It does not start, or fails; the message has its error output.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command(arguments)?.output().await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "egression {} ended with {}\n{said}\n{}",
                arguments.join(" "),
                output.status,
                self.last_lines()
            );
        }
        Ok(output)
    }

    /// Installs a connector's component.
    ///
    /// # Errors
    /// The host refuses it.
    pub async fn install_connector(&self, component: &Path) -> Result<()> {
        let file = component.to_str().context("the path is not Unicode")?;
        self.run(&["connector", "install", file]).await.map(drop)
    }
}
