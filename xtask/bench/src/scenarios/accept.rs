//! Accepting bulk requests over HTTP, from the first byte to the durable `202`, for several sizes,
//! and with a million jobs waiting.

use std::path::Path;

use anyhow::Result;

use super::Setting;
use crate::bounds::bare_store;
use crate::figure::Figure;
use crate::load::Load;
use crate::measured_host::{Delivery, MeasuredHost};

/// Jobs per CPU second, at every size.
const GOAL: f64 = 60_000.0;
const SIZES: [usize; 3] = [20_000, 100_000, 1_000_000];

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for size in SIZES.map(|size| setting.scale.of(size)) {
        let directory = setting.directory.join(size.to_string());
        let mut host = started(&directory).await?;
        figures.extend(accept(&host, size, &format!("{size}: ")).await?);
        figures.push(Figure::new(
            format!("{size}: peak memory"),
            host.peak_memory_mb()?,
            "MB",
        ));
        if size == setting.scale.of(SIZES[0]) {
            figures.extend(bound(&mut host, size, figures[0].value).await?);
        } else if size == setting.scale.of(SIZES[2]) {
            let more = setting.scale.of(SIZES[0]);
            figures.extend(accept(&host, more, &format!("{more} after {size}: ")).await?);
        }
    }
    Ok(figures)
}

/// A host that delivers nothing: its channel is paused.
async fn started(directory: &Path) -> Result<MeasuredHost> {
    let configuration = Delivery::nothing(1).configuration();
    let host = MeasuredHost::start(directory, &configuration).await?;
    host.pause().await?;
    Ok(host)
}

async fn accept(host: &MeasuredHost, jobs: usize, prefix: &str) -> Result<Vec<Figure>> {
    let (usage, _) = host.accept(&Load::of(jobs)).await?;
    let jobs = usage.accepted;
    let rate = usage.accepted_per_cpu_second();
    let mut figures = vec![
        Figure::new(format!("{prefix}jobs"), rate, "jobs/CPU-s").at_least(GOAL),
        Figure::new(format!("{prefix}pace"), jobs / usage.seconds, "jobs/s"),
    ];
    figures.extend(usage.figures(prefix, jobs));
    Ok(figures)
}

async fn bound(host: &mut MeasuredHost, jobs: usize, rate: f64) -> Result<Vec<Figure>> {
    host.host.stop(super::STOPS_WITHIN).await?;
    let database = host.host.data_dir().join("egression.db");
    let bare = bare_store::jobs_per_cpu_second(&database, jobs, host.host.directory()).await?;
    Ok(vec![
        Figure::new("bare store", bare, "jobs/CPU-s"),
        Figure::new(format!("{jobs}: ratio to the bare store"), rate / bare, ""),
    ])
}
