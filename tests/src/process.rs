//! A server of ours as a child process: started, told apart by its address, ended by its id.
//!
//! Promises that the child does not outlive the handle, and that what it said is in a file. A
//! killed runner takes its children along only if they share its terminal; a handle that is dropped
//! always does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How long a server may take until it tells its address.
const ADDRESS_WITHIN: Duration = Duration::from_secs(60);
/// Lines of its log that a failure quotes.
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
    /// Starts the command and waits until it prints an address on its standard output. Both of its
    /// outputs go to `<name>.log` in the directory, appended to what an earlier start left there.
    ///
    /// # Errors
    /// It cannot be started, ends, or tells no address within 60 s; the last lines of its log are
    /// in the message.
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
            .with_context(|| format!("{name} cannot be started"))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
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
                "{name} ended before it told its address\n{}",
                last_lines(&log)
            ),
            Err(_) => bail!(
                "{name} told no address within {ADDRESS_WITHIN:?}\n{}",
                last_lines(&log)
            ),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id, none once it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_lines(&self) -> String {
        last_lines(&self.log)
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    /// It has ended; the last lines of its log are in the message.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended by itself ({status})\n{}",
                self.name,
                last_lines(&self.log)
            ),
        }
    }

    /// Ends it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn kill(mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Asks it to end with SIGTERM and waits for that, at most as long as given; then it is killed.
    ///
    /// # Errors
    /// It had to be killed, or ended with a failure.
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
            bail!("SIGTERM could not be sent to {} ({id})", self.name);
        }
        let Ok(ended) = timeout(within, self.child.wait()).await else {
            self.child.kill().await?;
            bail!(
                "{} did not end within {within:?} of SIGTERM\n{}",
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

/// Reads to the end, so that the server never waits for a reader; tells the first address.
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
        // A log that cannot be written must not stop the server.
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
    fn an_address_is_found_bare_and_in_a_url() {
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
