//! The page `/metrics`: its recorder, its buckets and its gauges.
//!
//! Gauges are not maintained between requests. Each page takes a [`Sample`], so they cannot drift.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

use super::cpu_seconds::CpuSeconds;
use super::metrics;
use super::metrics_reference::{self, name};
use super::statement_counter;

/// The interval at which measurements move into their buckets. Until then, each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);
/// Buckets for durations, from a commit to a slow destination.
const SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Buckets for the rows of one transaction.
const ROWS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0,
];

/// Connections by channel and state.
pub type Connections = BTreeMap<(Arc<str>, &'static str), u64>;

/// The values of the gauges at one moment.
#[derive(Debug, Default)]
pub struct Sample {
    pub jobs_unfinished: u64,
    pub connections: Connections,
    pub instances_busy: u64,
    pub instances_idle: u64,
}

/// Renders the page. Cheap to clone.
#[derive(Clone)]
pub struct Exposition {
    handle: PrometheusHandle,
    sampler: Arc<dyn Fn() -> Sample + Send + Sync>,
    /// Channels and states of earlier pages; those that no longer occur are shown as 0.
    shown: Arc<Mutex<Connections>>,
    cpu: Arc<Mutex<CpuSeconds>>,
}

/// The installed recorder of this process.
#[derive(Debug)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// Installs the recorder and bounds its memory with a task. None if another recorder is
    /// installed.
    pub fn install() -> Option<Self> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(
                    Matcher::Full(name::STORE_COMMIT_ROWS.to_owned()),
                    &ROWS,
                )
            });
        let handle = builder.and_then(PrometheusBuilder::install_recorder).ok()?;
        metrics_reference::describe();
        metrics::set_build();
        let kept = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                kept.run_upkeep();
            }
        });
        Some(Self(handle))
    }

    /// The page, with a sampler for its gauges.
    pub fn exposition(self, sampler: impl Fn() -> Sample + Send + Sync + 'static) -> Exposition {
        Exposition {
            handle: self.0,
            sampler: Arc::new(sampler),
            shown: Arc::default(),
            cpu: Arc::default(),
        }
    }
}

impl Exposition {
    /// The page in Prometheus' text format.
    pub fn render(&self) -> String {
        let sample = (self.sampler)();
        metrics::set_unfinished(sample.jobs_unfinished);
        metrics::set_statements(statement_counter::count());
        metrics::set_instances("busy", sample.instances_busy);
        metrics::set_instances("idle", sample.instances_idle);
        {
            let mut shown = self.shown.lock();
            shown.values_mut().for_each(|count| *count = 0);
            shown.extend(sample.connections);
            for ((channel, state), connections) in &*shown {
                metrics::set_connections(channel, state, *connections);
            }
        }
        let mut text = self.handle.render();
        text.push_str(&self.cpu.lock().text());
        text
    }
}

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exposition")
    }
}
