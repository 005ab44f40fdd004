//! What 500 clients cost that wait for an execution in which nothing happens, while the jobs of
//! another execution are delivered.

use anyhow::{Context, Result};
use egression_tests::follow;
use egression_tests::rest::Rest;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Setting;
use crate::drain;
use crate::figure::Figure;
use crate::load::{Load, SUBSCRIPTION};
use crate::measured_host::{Delivery, MeasuredHost};

const WAITERS: usize = 500;
/// Requests of one API key that may wait at once: 256 by default.
const PER_KEY: usize = 250;
const JOBS: usize = 50_000;
/// The share of the CPU time that the waiters may cost.
const GOAL: f64 = 0.05;
const IDLE: &str = "idle";

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let delivery = Delivery::nothing(1);
    let mut configuration = delivery.configuration();
    configuration.push_str(&delivery.channel(IDLE, ""));
    configuration.push_str(&delivery.connection(SUBSCRIPTION, IDLE));
    let mut host = MeasuredHost::start(setting.directory, &configuration).await?;
    drain::warm_up(&host).await?;
    let idle = idle_execution(&host).await?;
    host.resting = 1.0;
    let load = Load::of(setting.scale.of(JOBS));
    let mut rates = Vec::new();
    for waits in [false, true, false] {
        let waiters = if waits {
            start(&host, &idle).await?
        } else {
            JoinSet::new()
        };
        let (_, delivered) = drain::run(&host, &load).await?;
        rates.push(delivered.ended_per_cpu_second());
        drop(waiters);
    }
    let (alone, waited) = (f64::midpoint(rates[0], rates[2]), rates[1]);
    Ok(vec![
        Figure::new("jobs without waiters", alone, "jobs/CPU-s"),
        Figure::new(format!("jobs with {WAITERS} waiters"), waited, "jobs/CPU-s"),
        Figure::new("cost of the waiters", alone / waited - 1.0, "of a job").at_most(GOAL),
    ])
}

/// An execution of a paused channel.
async fn idle_execution(host: &MeasuredHost) -> Result<Value> {
    host.act(&format!("/v1/channels/{IDLE}:pause")).await?;
    follow::submit(&host.rest, &follow::upsert(IDLE, "waits")).await
}

/// Starts clients, with as many keys as they need. Dropping the set ends them.
async fn start(host: &MeasuredHost, execution: &Value) -> Result<JoinSet<()>> {
    let mut waiters = JoinSet::new();
    let path = follow::path_of(execution)?;
    let tag = host
        .rest
        .send(host.rest.request(Method::GET, &path))
        .await?;
    let tag = tag.expect(200)?.header("etag").to_owned();
    for number in 0..WAITERS.div_ceil(PER_KEY) {
        let request = json!({"role": "read", "label": format!("waiters {number}")});
        let (_, key) = host.rest.post("/v1/keys", &request).await?;
        let key = key["key"]
            .as_str()
            .with_context(|| format!("no key: {key}"))?;
        let client = host.rest.with_key(Some(key));
        for _ in 0..PER_KEY {
            waiters.spawn(wait(client.clone(), path.clone(), tag.clone()));
        }
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    Ok(waiters)
}

async fn wait(client: Rest, path: String, tag: String) {
    loop {
        let request = client
            .request(Method::GET, &path)
            .header("prefer", "wait=60")
            .header("if-none-match", &tag);
        if client.send(request).await.is_err() {
            return;
        }
    }
}
