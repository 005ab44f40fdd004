//! The processes of a session: the sandbox shop and the host.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use egression_sandbox::Scenario;
use egression_tests::process::Running;
use egression_tests::rest::Rest;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::build;
use crate::sources::{Changes, Part};

/// The address of the shop in `docs/tour.toml`.
const SHOP_ADDRESS: &str = "127.0.0.1:9090";
/// How long a process may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How long a host may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const READY_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Session {
    root: PathBuf,
    binary: PathBuf,
    /// For data, logs and the connector.
    directory: PathBuf,
    shop: Option<Running>,
    host: Option<Running>,
}

impl Session {
    /// A session that keeps its files in `dev` below the target directory.
    pub(crate) fn new(root: PathBuf, target: PathBuf) -> Result<Self> {
        let directory = target.join("dev");
        std::fs::create_dir_all(&directory)?;
        for log in ["host.log", "shop.log"] {
            // The first session has no old log.
            let _ = std::fs::remove_file(directory.join(log));
        }
        Ok(Self {
            root,
            binary: target.join("debug").join("egression"),
            directory,
            shop: None,
            host: None,
        })
    }

    /// Starts shop and host, installs the connector and prints where everything is. The binaries
    /// have been built.
    pub(crate) async fn start(&mut self, sources: &Changes) -> Result<()> {
        self.start_shop().await?;
        self.start_host().await?;
        self.install(sources.connector_ms).await?;
        let data = self.data();
        eprintln!("admin key  {}", data.join("admin.key").display());
        eprintln!(
            "logs       {}/host.log, {}/shop.log",
            self.directory.display(),
            self.directory.display()
        );
        eprintln!(
            "try        {} --data-dir {} submit docs/tour.ndjson --watch",
            self.binary.display(),
            data.display()
        );
        Ok(())
    }

    /// Builds the changed parts and restarts or reinstalls them.
    pub(crate) async fn apply(&mut self, changes: &Changes) -> Result<()> {
        let (host, shop) = (changes.affect(Part::Host), changes.affect(Part::Shop));
        if host || shop {
            build::binaries(&self.root).await?;
        }
        if shop {
            stop(self.shop.take()).await;
            self.start_shop().await?;
        }
        if host {
            stop(self.host.take()).await;
        }
        if self.host.is_none() {
            self.start_host().await?;
        }
        if changes.affect(Part::Connector) {
            self.install(changes.connector_ms).await?;
        }
        Ok(())
    }

    /// Tells about processes that have ended on their own. The next change starts them again.
    pub(crate) fn report_ended(&mut self) {
        for process in [&mut self.shop, &mut self.host] {
            let ended = process
                .as_mut()
                .and_then(|running| running.expect_running().err());
            if let Some(error) = ended {
                eprintln!("{error:#}\nit starts again with the next change");
                *process = None;
            }
        }
    }

    /// Stops host and shop.
    pub(crate) async fn stop(&mut self) {
        eprintln!("\nstopping");
        stop(self.host.take()).await;
        stop(self.shop.take()).await;
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    async fn start_shop(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["sandbox", "--listen", SHOP_ADDRESS]);
        let shop = Running::start("shop", command, &self.directory).await?;
        eprintln!("shop       {} ({})", shop.url(), process(&shop));
        self.shop = Some(shop);
        Ok(())
    }

    async fn start_host(&mut self) -> Result<()> {
        if self.shop.is_none() {
            self.start_shop().await?;
        }
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.root)
            .args(["serve", "--config", "docs/tour.toml", "--data-dir"])
            .arg(self.data())
            .env("SHOP_SECRET", Scenario::default().credentials.client_secret);
        let mut host = Running::start("host", command, &self.directory).await?;
        ready(&mut host).await?;
        eprintln!("host       {} ({})", host.url(), process(&host));
        self.host = Some(host);
        Ok(())
    }

    async fn install(&self, sources_ms: u64) -> Result<()> {
        let component = build::connector(&self.root, &self.directory, sources_ms).await?;
        let url = self.host.as_ref().context("the host is not running")?.url();
        let output = Command::new(&self.binary)
            .arg("--data-dir")
            .arg(self.data())
            .args(["connector", "install"])
            .arg(&component)
            .env("EGRESSION_URL", url)
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            bail!(
                "cannot install {}\n{}",
                component.display(),
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        let table = String::from_utf8_lossy(&output.stdout);
        let row = table.lines().last().unwrap_or_default();
        eprintln!("connector  {row}");
        Ok(())
    }
}

fn process(running: &Running) -> String {
    running
        .id()
        .map_or_else(|| "ended".to_owned(), |id| format!("process {id}"))
}

async fn ready(host: &mut Running) -> Result<()> {
    let rest = Rest::new(host.url(), None)?;
    let wait = async {
        while rest.get_status("/readyz").await != Some(200) {
            host.expect_running()?;
            sleep(READY_EVERY).await;
        }
        anyhow::Ok(())
    };
    match timeout(READY_WITHIN, wait).await {
        Ok(ended) => ended,
        Err(_) => bail!("the host is not ready after {READY_WITHIN:?}"),
    }
}

async fn stop(running: Option<Running>) {
    if let Some(running) = running
        && let Err(error) = running.stop(STOP_WITHIN).await
    {
        eprintln!("{error:#}");
    }
}
