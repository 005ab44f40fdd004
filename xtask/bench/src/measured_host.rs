//! A host whose work is measured: the real binary with its default configuration.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use egression_tests::binary;
use egression_tests::follow;
use egression_tests::host::TestHost;
use egression_tests::rest::Rest;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use crate::clock::seconds_since;
use crate::load::{CHANNEL, Load, SUBSCRIPTION};
use crate::usage::{Reading, Usage, peak_memory_mb};

/// The largest bulk request, below the host's bound on its bytes.
pub(crate) const BULK_JOBS: usize = 100_000;
/// Submissions that one API key may send at once.
const SUBMISSIONS: usize = 8;
/// How often the metrics are read while jobs are delivered. A reading costs about a millisecond.
const READ_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct MeasuredHost {
    pub(crate) host: TestHost,
    pub(crate) rest: Rest,
    /// Jobs of other channels, which wait during all measurements.
    pub(crate) resting: f64,
}

/// The channel and the connection of most scenarios.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) items_per_call: u32,
    /// `nothing`, `each`, `batch`: the connector's setting.
    pub(crate) send: &'static str,
    /// The destination; empty if nothing is sent.
    pub(crate) base_url: String,
}

impl Delivery {
    /// A connector that sends nothing.
    pub(crate) const fn nothing(items_per_call: u32) -> Self {
        Self {
            items_per_call,
            send: "nothing",
            base_url: String::new(),
        }
    }

    pub(crate) fn configuration(&self) -> String {
        format!(
            "[[subscriptions]]\nname = \"{SUBSCRIPTION}\"\n{}{}",
            self.channel(CHANNEL, ""),
            self.connection(SUBSCRIPTION, CHANNEL)
        )
    }

    pub(crate) fn channel(&self, name: &str, more: &str) -> String {
        let items = self.items_per_call;
        format!(
            "[[channels]]\nname = \"{name}\"\nconnector = \"bench\"\nmax_items = {items}\n{more}"
        )
    }

    pub(crate) fn connection(&self, subscription: &str, channel: &str) -> String {
        let url = if self.base_url.is_empty() {
            String::new()
        } else {
            format!(", base_url = \"{}\"", self.base_url)
        };
        format!(
            "[[connections]]\nsubscription = \"{subscription}\"\nchannel = \"{channel}\"\n\
             settings = {{ send = \"{}\"{url} }}\nallow_addresses = [\"127.0.0.1/32\"]\n",
            self.send
        )
    }
}

impl MeasuredHost {
    /// Starts a host that keeps its files in the directory, with the connector.
    pub(crate) async fn start(directory: &Path, configuration: &str) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let egression = binary::egression()?;
        let mut host = TestHost::new(egression, directory.to_owned(), configuration)?;
        host.restart().await?;
        host.install_connector(&binary::connector("bench")?).await?;
        let rest = host.rest()?;
        Ok(Self {
            host,
            rest,
            resting: 0.0,
        })
    }

    pub(crate) async fn read(&self) -> Result<Reading> {
        Reading::take(&self.rest, self.process()?).await
    }

    pub(crate) fn peak_memory_mb(&self) -> Result<f64> {
        peak_memory_mb(self.process()?)
    }

    fn process(&self) -> Result<u32> {
        self.host.id().context("the host has ended")
    }

    pub(crate) async fn pause(&self) -> Result<()> {
        self.act(&format!("/v1/channels/{CHANNEL}:pause")).await
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        self.act(&format!("/v1/channels/{CHANNEL}:resume")).await
    }

    pub(crate) async fn act(&self, path: &str) -> Result<()> {
        let answer = self.rest.send(self.rest.request(Method::POST, path));
        let answer = answer.await?;
        ensure!(answer.status < 300, "POST {path}: {}", answer.text);
        Ok(())
    }

    /// Submits one bulk request and returns its execution.
    pub(crate) async fn bulk(&self, body: Bytes) -> Result<Value> {
        let request = self
            .rest
            .request(Method::POST, "/v1/bulk")
            .header("content-type", "application/x-ndjson")
            .header("prefer", "respond-async")
            .body(body);
        Ok(self.rest.send(request).await?.expect(202)?.json)
    }

    /// Submits all jobs of a load in as few requests as possible. Only the requests are measured,
    /// not the making of their bodies.
    pub(crate) async fn accept(&self, load: &Load) -> Result<(Usage, Vec<Value>)> {
        let mut usage = Usage::default();
        let mut executions = Vec::new();
        for first in (0..load.jobs).step_by(BULK_JOBS) {
            let body = load.bulk(first, BULK_JOBS);
            let before = self.read().await?;
            executions.push(self.bulk(body).await?);
            usage += self.read().await?.since(&before);
        }
        ensure!(
            usage.accepted as usize == load.jobs,
            "only {} of {} jobs were accepted",
            usage.accepted,
            load.jobs
        );
        Ok((usage, executions))
    }

    /// Submits bodies, each in a request of its own, as many at once as a key may.
    pub(crate) async fn submit_each(
        &self,
        path: &str,
        bodies: impl Iterator<Item = Bytes>,
    ) -> Result<()> {
        stream::iter(bodies)
            .map(|body| self.submit_patiently(path, body))
            .buffer_unordered(SUBMISSIONS)
            .try_collect()
            .await
    }

    /// Waits if the quota of the key is used up.
    async fn submit_patiently(&self, path: &str, body: Bytes) -> Result<()> {
        let kind = match path {
            "/v1/bulk" => "application/x-ndjson",
            _ => "application/json",
        };
        loop {
            let request = self
                .rest
                .request(Method::POST, path)
                .header("content-type", kind)
                .header("prefer", "respond-async")
                .body(body.clone());
            let answer = self.rest.send(request).await?;
            if answer.status != 429 {
                answer.expect(202)?;
                return Ok(());
            }
            sleep(Duration::from_secs(
                answer.header("retry-after").parse().unwrap_or(1),
            ))
            .await;
        }
    }

    /// The delivery of the waiting jobs from now on, for at most `seconds`. The last reading with
    /// waiting jobs ends it, so that an idle host counts for nothing.
    pub(crate) async fn delivery(&self, begin: Reading, seconds: f64) -> Result<Usage> {
        let began_ns = crate::clock::now_ns();
        let mut busy: Option<Reading> = None;
        loop {
            sleep(READ_EVERY).await;
            let now = self.read().await?;
            let is_over = now.unfinished() <= self.resting;
            // A drain that is shorter than a few readings counts as a whole.
            let last = match busy.filter(|busy| is_over && busy.since(&begin).seconds > 1.0) {
                Some(last) => last,
                None => now.clone(),
            };
            if is_over || seconds_since(began_ns) > seconds {
                let usage = last.since(&begin);
                ensure!(usage.ended > 0.0, "no job ended within {seconds} s");
                return Ok(usage);
            }
            busy = Some(now);
        }
    }

    /// Cancels what still waits, so that it does not disturb the next measurement.
    pub(crate) async fn cancel(&self, executions: &[Value]) -> Result<()> {
        for execution in executions {
            let path = format!("{}:cancel", follow::path_of(execution)?);
            let answer = self
                .rest
                .send(self.rest.request(Method::POST, &path))
                .await?;
            // A conflict means that it is done.
            ensure!(
                answer.status < 300 || answer.status == 409,
                "{}",
                answer.text
            );
        }
        while self.read().await?.unfinished() > self.resting {
            sleep(READ_EVERY).await;
        }
        Ok(())
    }
}
