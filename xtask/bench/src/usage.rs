//! What the host used for its work: readings of its metrics and of `/proc`, and their differences.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use anyhow::{Context, Result};
use egression_tests::rest::Rest;

use crate::clock::now_ns;
use crate::figure::Figure;

/// Waits for the disk per checkpoint: the log, the database, and the head of the new log.
const SYNCS_PER_CHECKPOINT: f64 = 3.0;

/// One reading of the host's counters.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    at_ns: u64,
    cpu_seconds: f64,
    metrics: Metrics,
}

/// The work between two readings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Jobs that became durable.
    pub(crate) accepted: f64,
    /// Jobs that ended.
    pub(crate) ended: f64,
    pub(crate) log_bytes: f64,
    statements: f64,
    commits: f64,
    checkpoints: f64,
    layers: BTreeMap<String, f64>,
}

impl Reading {
    /// Reads the metrics of the host with this process id.
    pub(crate) async fn take(rest: &Rest, process: u32) -> Result<Self> {
        let metrics = Metrics(rest.metrics().await?);
        Ok(Self {
            at_ns: now_ns(),
            cpu_seconds: cpu_seconds(process)?,
            metrics,
        })
    }

    pub(crate) fn unfinished(&self) -> f64 {
        self.metrics.sum("egression_jobs_unfinished")
    }

    /// The work since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Usage {
        let grown = |name: &str| self.metrics.sum(name) - earlier.metrics.sum(name);
        let mut layers = self.metrics.layers();
        for (layer, seconds) in earlier.metrics.layers() {
            *layers.entry(layer).or_default() -= seconds;
        }
        Usage {
            seconds: (self.at_ns - earlier.at_ns) as f64 / 1e9,
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            accepted: grown("egression_jobs_submitted_total"),
            ended: grown("egression_jobs_ended_total"),
            statements: grown("egression_store_statements_total"),
            commits: grown("egression_store_commits_total"),
            checkpoints: grown("egression_store_checkpoints_total"),
            log_bytes: grown("egression_store_log_bytes_total"),
            layers,
        }
    }
}

impl Usage {
    /// The figures per job, for a phase that worked on this many jobs.
    pub(crate) fn figures(&self, prefix: &str, jobs: f64) -> Vec<Figure> {
        let syncs = self.commits + SYNCS_PER_CHECKPOINT * self.checkpoints;
        let mut figures: Vec<Figure> = [
            ("statements", self.statements / jobs, "per job"),
            ("fsyncs", syncs / jobs, "per job"),
            ("log", self.log_bytes / jobs / 1024.0, "KB per job"),
        ]
        .into_iter()
        .map(|(name, value, unit)| Figure::new(format!("{prefix}{name}"), value, unit))
        .collect();
        let used = self.layers.iter().filter(|(_, seconds)| **seconds > 0.0);
        figures.extend(used.map(|(layer, seconds)| {
            Figure::new(
                format!("{prefix}cpu {layer}"),
                seconds * 1e6 / jobs,
                "µs per job",
            )
        }));
        figures
    }

    pub(crate) fn accepted_per_cpu_second(&self) -> f64 {
        self.accepted / self.cpu_seconds
    }

    pub(crate) fn ended_per_cpu_second(&self) -> f64 {
        self.ended / self.cpu_seconds
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
        self.accepted += other.accepted;
        self.ended += other.ended;
        self.statements += other.statements;
        self.commits += other.commits;
        self.checkpoints += other.checkpoints;
        self.log_bytes += other.log_bytes;
        for (layer, seconds) in other.layers {
            *self.layers.entry(layer).or_default() += seconds;
        }
    }
}

/// The text of `/metrics`.
#[derive(Clone, Debug)]
struct Metrics(String);

impl Metrics {
    /// Labels and values of a metric.
    fn lines(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_whole_name = labels.is_empty() || labels.starts_with('{');
            is_whole_name.then(|| Some((labels, value.parse().ok()?)))?
        })
    }

    fn sum(&self, name: &str) -> f64 {
        self.lines(name).map(|(_, value)| value).sum()
    }

    fn layers(&self) -> BTreeMap<String, f64> {
        let lines = self.lines("egression_cpu_seconds_total");
        lines
            .filter_map(|(labels, value)| {
                let layer = labels.split('"').nth(1)?;
                Some((layer.replace('_', " "), value))
            })
            .collect()
    }
}

/// proc(5): the 14th and 15th field of `stat` are the time in user and kernel mode, in ticks. The
/// 2nd field, the name, ends with the last parenthesis.
fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64)
}

/// The most memory that a process had so far, in MB.
pub(crate) fn peak_memory_mb(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("no VmHWM in status")? * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_is_read_with_and_without_labels() {
        let page = "# HELP a b\na 3\na_total{x=\"1\"} 2\na_total{x=\"2\"} 5.5\n\
                    egression_cpu_seconds_total{layer=\"store_writer\"} 1.5\n";
        let metrics = Metrics(page.to_owned());
        assert!((metrics.sum("a") - 3.0).abs() < 1e-9);
        assert!((metrics.sum("a_total") - 7.5).abs() < 1e-9);
        assert_eq!(
            metrics.layers().keys().collect::<Vec<_>>(),
            ["store writer"]
        );
    }
}
