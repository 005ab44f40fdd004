//! One job on an idle host: from the POST to its answer (`Prefer: wait`), and from the POST to the
//! arrival at the destination, which answers at once. Next to fdatasync in the same seconds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use tokio::time::sleep;

use super::Setting;
use crate::bounds::fdatasync::SyncedFile;
use crate::clock::{now_ns, seconds_since};
use crate::drain;
use crate::figure::Figure;
use crate::load::Load;
use crate::measured_host::{Delivery, MeasuredHost};
use crate::percentiles::Percentiles;
use crate::sink::Sink;

const SAMPLES: usize = 500;
/// Samples before those that count.
const WARM_UP: usize = 20;
/// So that the host is idle.
const PAUSE: Duration = Duration::from_millis(15);
const MEDIAN_GOAL: f64 = 5.0;
const P99_GOAL: f64 = 4.0;

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let sink = Sink::start(setting.directory).await?;
    let delivery = Delivery {
        items_per_call: 100,
        send: "each",
        base_url: sink.timed_url(),
    };
    let configuration = delivery.configuration();
    let host = MeasuredHost::start(setting.directory, &configuration).await?;
    drain::warm_up(&host).await?;
    let mut file = SyncedFile::create(setting.directory)?;
    let (mut answers, mut syncs, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    let samples = WARM_UP + setting.scale.of(SAMPLES);
    for number in 1_000_000..1_000_000 + samples {
        sleep(PAUSE).await;
        syncs.push(file.sync_ms()?);
        sleep(PAUSE).await;
        let sent_ns = now_ns();
        let request = host
            .rest
            .request(Method::POST, "/v1/jobs")
            .header("content-type", "application/json")
            .header("prefer", "wait=10")
            .body(Load::single(number));
        let answer = host.rest.send(request).await?.expect(200)?;
        answers.push(seconds_since(sent_ns) * 1e3);
        ensure!(answer.json["status"] == "succeeded", "{}", answer.text);
        sent.push((format!("o{number}"), sent_ns));
    }
    let arrivals = sink.arrivals().await?.timed_ns;
    let arrivals = sent.iter().map(|(id, sent_ns)| {
        let arrived_ns = arrivals.get(id).context("a job did not arrive")?;
        Ok(arrived_ns.saturating_sub(*sent_ns) as f64 / 1e6)
    });
    let arrivals: Result<Vec<f64>> = arrivals.collect();
    let steady = |values: Vec<f64>| Percentiles::of(values.into_iter().skip(WARM_UP).collect());
    Ok(figures(
        &steady(answers),
        &steady(arrivals?),
        &steady(syncs),
    ))
}

fn figures(answers: &Percentiles, arrivals: &Percentiles, syncs: &Percentiles) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, values) in [
        ("fdatasync", syncs),
        ("answer", answers),
        ("arrival", arrivals),
    ] {
        figures.push(Figure::new(format!("{name} median"), values.median(), "ms"));
        figures.push(Figure::new(format!("{name} p99"), values.p99(), "ms"));
    }
    for (name, values) in [("answer", answers), ("arrival", arrivals)] {
        let (median, p99) = (values.median() / syncs.median(), values.p99() / syncs.p99());
        let unit = "× fdatasync";
        figures
            .push(Figure::new(format!("{name} median ratio"), median, unit).at_most(MEDIAN_GOAL));
        figures.push(Figure::new(format!("{name} p99 ratio"), p99, unit).at_most(P99_GOAL));
    }
    figures
}
