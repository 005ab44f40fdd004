//! A million jobs that wait over 100,000 partition keys: what a delivery, the status, the memory
//! and a start cost with them, next to a store that has only the delivered jobs.

use anyhow::{Result, ensure};
use egression_tests::follow;

use super::{STOPS_WITHIN, Setting};
use crate::clock::{now_ns, seconds_since};
use crate::drain::{self, SECONDS};
use crate::figure::Figure;
use crate::load::Load;
use crate::measured_host::{Delivery, MeasuredHost};
use crate::percentiles::Percentiles;

const JOBS: usize = 1_000_000;
const KEYS: usize = 100_000;
/// Jobs of the store without a backlog.
const FEW: usize = 50_000;
const STATUS_READS: usize = 50;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let few = Load::of(setting.scale.of(FEW)).keys(setting.scale.of(KEYS));
    let alone = {
        let host = started(setting, "few").await?;
        drain::run(&host, &few).await?.1
    };
    let mut host = started(setting, "many").await?;
    host.pause().await?;
    let many = Load::of(setting.scale.of(JOBS)).keys(setting.scale.of(KEYS));
    let (_, executions) = host.accept(&many).await?;
    let begin = host.read().await?;
    host.resume().await?;
    let reading_status = async {
        let mut times = Vec::new();
        for _ in 0..STATUS_READS {
            for execution in &executions {
                let began = now_ns();
                follow::look(&host.rest, execution).await?;
                times.push(seconds_since(began) * 1e3);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        Ok(Percentiles::of(times))
    };
    let delivery = host.delivery(begin, SECONDS);
    let (delivered, status): (_, Percentiles) = tokio::try_join!(delivery, reading_status)?;
    let memory = host.peak_memory_mb()?;
    host.pause().await?;
    host.host.stop(STOPS_WITHIN).await?;
    let began = now_ns();
    host.host.restart().await?;
    let start = seconds_since(began);
    host.rest = host.host.rest()?;
    let waiting = host.read().await?.unfinished();
    ensure!(waiting > 0.0, "no backlog was left at the start");
    let (few, many) = (
        alone.ended_per_cpu_second(),
        delivered.ended_per_cpu_second(),
    );
    Ok(vec![
        Figure::new("jobs without a backlog", few, "jobs/CPU-s"),
        Figure::new("jobs with the backlog", many, "jobs/CPU-s"),
        Figure::new("cost of a job", few / many, "× without").at_most(1.3),
        Figure::new("status median", status.median(), "ms").at_most(50.0),
        Figure::new("status slowest", status.max(), "ms"),
        Figure::new("peak memory", memory, "MB").at_most(500.0),
        Figure::new("start", start, "s").at_most(5.0),
        Figure::new("jobs waiting at the start", waiting, "jobs"),
    ])
}

async fn started(setting: &Setting<'_>, name: &str) -> Result<MeasuredHost> {
    let configuration = Delivery::nothing(1).configuration();
    let host = MeasuredHost::start(&setting.directory.join(name), &configuration).await?;
    drain::warm_up(&host).await?;
    Ok(host)
}
