//! The delivery of waiting jobs, which most scenarios measure.
//!
//! The jobs are submitted while the channel is paused. The measurement begins when the channel
//! resumes, and ends with the last reading that has waiting jobs, or after [`SECONDS`]. So a slow
//! host is measured with fewer of the jobs.

use anyhow::{Result, ensure};

use crate::bounds::bare_http;
use crate::figure::Figure;
use crate::load::Load;
use crate::measured_host::{Delivery, MeasuredHost};
use crate::scenarios::Setting;
use crate::sink::Sink;
use crate::usage::Usage;

/// How long a delivery is measured.
pub(crate) const SECONDS: f64 = 12.0;
/// Jobs that are delivered before the measurement, so that the connector is compiled and its
/// instances exist.
const WARM_UP: usize = 300;

/// One scenario.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) load: Load,
    pub(crate) items_per_call: u32,
    /// The connector's setting.
    pub(crate) send: &'static str,
    /// Jobs per CPU second of the host.
    pub(crate) goal: Option<f64>,
    /// Jobs per second.
    pub(crate) pace_goal: Option<f64>,
    /// Kilobytes of the write-ahead log for the whole life of a job.
    pub(crate) log_goal: Option<f64>,
}

impl Drain {
    pub(crate) const fn of(load: Load, items_per_call: u32) -> Self {
        Self {
            load,
            items_per_call,
            send: "nothing",
            goal: None,
            pace_goal: None,
            log_goal: None,
        }
    }

    pub(crate) async fn figures(&self, setting: &Setting<'_>) -> Result<Vec<Figure>> {
        let sink = match self.send {
            "nothing" => None,
            _ => Some(Sink::start(setting.directory).await?),
        };
        let delivery = Delivery {
            items_per_call: self.items_per_call,
            send: self.send,
            base_url: sink.as_ref().map(Sink::url).unwrap_or_default(),
        };
        let configuration = delivery.configuration();
        let mut host = MeasuredHost::start(setting.directory, &configuration).await?;
        warm_up(&host).await?;
        let arrived = requests(sink.as_ref()).await?;
        let (accepted, delivered) = run(&host, &self.load).await?;
        let mut figures = self.judged(&accepted, &delivered);
        figures.extend(delivered.figures("", delivered.ended));
        figures.push(Figure::new("jobs measured", delivered.ended, "jobs"));
        figures.push(Figure::new("peak memory", host.peak_memory_mb()?, "MB"));
        if let Some(sink) = &sink {
            let arrived = requests(Some(sink)).await? - arrived;
            ensure!(arrived > 0.0, "nothing arrived at the sink");
            let per_request = match self.send {
                "batch" => self.items_per_call as usize,
                _ => 1,
            };
            let url = sink.url();
            let bare = bare_http::requests_per_cpu_second(&url, per_request).await?;
            let bare = bare * per_request as f64;
            figures.push(Figure::new("bare client", bare, "jobs/CPU-s"));
            let ratio = delivered.ended_per_cpu_second() / bare;
            figures.push(Figure::new("ratio to the bare client", ratio, ""));
        }
        host.host.expect_running()?;
        Ok(figures)
    }

    /// The figures that may have goals.
    fn judged(&self, accepted: &Usage, delivered: &Usage) -> Vec<Figure> {
        let goal = |figure: Figure, goal: Option<f64>| match goal {
            Some(least) => figure.at_least(least),
            None => figure,
        };
        let pace = delivered.ended / delivered.seconds;
        let log = accepted.log_bytes / accepted.accepted + delivered.log_bytes / delivered.ended;
        let log = Figure::new("log with acceptance", log / 1024.0, "KB per job");
        vec![
            goal(
                Figure::new("jobs", delivered.ended_per_cpu_second(), "jobs/CPU-s"),
                self.goal,
            ),
            goal(Figure::new("pace", pace, "jobs/s"), self.pace_goal),
            match self.log_goal {
                Some(most) => log.at_most(most),
                None => log,
            },
        ]
    }
}

/// Accepts a load while the channel is paused, and delivers it. What is left is canceled.
pub(crate) async fn run(host: &MeasuredHost, load: &Load) -> Result<(Usage, Usage)> {
    host.pause().await?;
    let (accepted, executions) = host.accept(load).await?;
    let begin = host.read().await?;
    host.resume().await?;
    let delivered = host.delivery(begin, SECONDS).await?;
    host.cancel(&executions).await?;
    Ok((accepted, delivered))
}

pub(crate) async fn warm_up(host: &MeasuredHost) -> Result<()> {
    run(host, &Load::of(WARM_UP)).await.map(drop)
}

async fn requests(sink: Option<&Sink>) -> Result<f64> {
    match sink {
        Some(sink) => Ok(sink.arrivals().await?.requests as f64),
        None => Ok(0.0),
    }
}
