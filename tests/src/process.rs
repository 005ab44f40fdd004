//! A server as a child process: started, found by its address, and ended by its process id.
//!
//! The child does not outlive its handle, and its output goes to a log file. If the test runner is
//! killed, the handle is not dropped and the child can survive.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a server may take to print its address.
const ADDRESS_WITHIN: Duration = Duration::from_secs(60);
/// The number of log lines that an error message quotes.
const QUOTED_LINES: usize = 20;

/// A running server.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Running {
    /// Starts the command and waits until it prints an address to standard output. Its output is
    /// appended to `<name>.log` in the directory.
    ///
    /// # Errors
    /// It does not start, ends, or prints no address within 60 s; the message has the last lines of
    /// its log.
    pub async fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file.try_clone()?)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child
            .stdout
            .take()
            .context("standard output is not piped")?;
        let (told, address) = oneshot::channel();
        tokio::spawn(follow(stdout, tokio::fs::File::from_std(file), told));
        match timeout(ADDRESS_WITHIN, address).await {
            Ok(Ok(address)) => Ok(Self {
                name: name.to_owned(),
                child,
                address,
                log,
            }),
            Ok(Err(_)) => bail!(
                "{name} ended before it printed its address\n{}",
                last_lines(&log)
            ),
            Err(_) => bail!(
                "{name} printed no address within {ADDRESS_WITHIN:?}\n{}",
                last_lines(&log)
            ),
        }
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id; none after its end.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_lines(&self) -> String {
        last_lines(&self.log)
    }

    /// # Errors
    /// It has ended; the message has the last lines of its log.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended unexpectedly ({status})\n{}",
                self.name,
                last_lines(&self.log)
            ),
        }
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Stops it with SIGTERM, and kills it if it does not stop in time.
    ///
    /// # Errors
    /// It was killed, or ended with a failure.
    pub async fn stop(mut self, within: Duration) -> Result<()> {
        let Some(id) = self.child.id() else {
            return Ok(());
        };
        // The standard library can only send SIGKILL, and calling the system is `unsafe`.
        let asked = Command::new("kill")
            .args(["-TERM", &id.to_string()])
            .status()
            .await?;
        if !asked.success() {
            bail!("cannot send SIGTERM to {} ({id})", self.name);
        }
        let Ok(ended) = timeout(within, self.child.wait()).await else {
            self.child.kill().await?;
            bail!(
                "{} did not stop within {within:?} of SIGTERM\n{}",
                self.name,
                last_lines(&self.log)
            );
        };
        let status = ended?;
        if !status.success() {
            bail!(
                "{} ended with {status}\n{}",
                self.name,
                last_lines(&self.log)
            );
        }
        Ok(())
    }
}

/// Reads to the end, so that the server never waits for a reader, and reports the first address.
async fn follow(stdout: ChildStdout, mut log: tokio::fs::File, told: oneshot::Sender<SocketAddr>) {
    let mut told = Some(told);
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = address_in(&line)
            && let Some(tell) = told.take()
        {
            // The starter may have given up waiting.
            let _ = tell.send(address);
        }
        // A failed log write must not stop the server.
        let _ = log.write_all(format!("{line}\n").as_bytes()).await;
    }
}

/// The first socket address in a line: bare, or in a URL.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.split(|c: char| c.is_whitespace() || matches!(c, '"' | '/' | ',' | '\''))
        .find_map(|word| word.parse().ok())
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_found_bare_and_in_a_url() {
        let expected: SocketAddr = "127.0.0.1:4010".parse().unwrap();
        for line in [
            "127.0.0.1:4010",
            "listening on http://127.0.0.1:4010/",
            "{\"listen\":\"127.0.0.1:4010\"}",
        ] {
            assert_eq!(address_in(line), Some(expected), "{line}");
        }
        assert_eq!(address_in("version 1.2.3, started"), None);
    }
}
