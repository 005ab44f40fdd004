//! The same jobs in one execution, in 1,000 and in 100,000 executions of one connection.

use anyhow::Result;

use super::Setting;
use crate::drain::{self, SECONDS};
use crate::figure::Figure;
use crate::load::Load;
use crate::measured_host::{Delivery, MeasuredHost};

const JOBS: usize = 100_000;
const EXECUTIONS: usize = 1_000;
const GOAL: f64 = 1.3;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let jobs = setting.scale.of(JOBS);
    let few = setting.scale.of(EXECUTIONS);
    let mut figures = Vec::new();
    let mut one = 0.0;
    for executions in [1, few, jobs] {
        let directory = setting.directory.join(executions.to_string());
        let configuration = Delivery::nothing(1).configuration();
        let host = MeasuredHost::start(&directory, &configuration).await?;
        drain::warm_up(&host).await?;
        host.pause().await?;
        submit(&host, jobs, executions).await?;
        let begin = host.read().await?;
        host.resume().await?;
        let delivered = host.delivery(begin, SECONDS).await?;
        let rate = delivered.ended_per_cpu_second();
        figures.push(Figure::new(
            format!("{executions}: jobs"),
            rate,
            "jobs/CPU-s",
        ));
        let memory = host.peak_memory_mb()?;
        figures.push(Figure::new(
            format!("{executions}: peak memory"),
            memory,
            "MB",
        ));
        if executions == 1 {
            one = rate;
        } else {
            let cost = Figure::new(
                format!("{executions}: cost of a job"),
                one / rate,
                "× of one",
            );
            figures.push(cost.at_most(GOAL));
        }
    }
    Ok(figures)
}

async fn submit(host: &MeasuredHost, jobs: usize, executions: usize) -> Result<()> {
    let load = Load::of(jobs);
    if executions == jobs {
        return host
            .submit_each("/v1/jobs", (0..jobs).map(Load::single))
            .await;
    }
    let size = jobs / executions;
    let bodies = (0..jobs).step_by(size).map(|first| load.bulk(first, size));
    host.submit_each("/v1/bulk", bodies).await
}
