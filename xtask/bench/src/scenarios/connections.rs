//! The same jobs on one connection and on 10,000 connections with limits. Each job is a POST, so
//! that it acquires its limits at the gate; no limit is ever reached.
//!
//! One bulk request has all jobs, and the measurement begins with its response. A pause of each
//! channel would be one more change of 10,000 connections.

use std::fmt::Write as _;

use anyhow::Result;
use bytes::Bytes;

use super::Setting;
use crate::drain::SECONDS;
use crate::figure::Figure;
use crate::load::payload;
use crate::measured_host::{Delivery, MeasuredHost};
use crate::sink::Sink;

const JOBS: usize = 50_000;
/// Of subscriptions, and of channels. Each subscription has a connection to each channel.
const SIDE: usize = 100;
const GOAL: f64 = 1.3;
const LIMITS: &str = "limits = [{ kind = \"token_bucket\", rate = 1000000, burst = 1000000, \
    scope = \"connection\" }]\n";

pub(crate) async fn run(setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let jobs = setting.scale.of(JOBS);
    let one = measure(setting, 1, jobs).await?;
    // A tenth of the connections is a third of each side.
    let side = if setting.scale.is_quick() {
        SIDE / 3
    } else {
        SIDE
    };
    let many = measure(setting, side, jobs).await?;
    let connections = side * side;
    Ok(vec![
        Figure::new("1: jobs", one.rate, "jobs/CPU-s"),
        Figure::new(format!("{connections}: jobs"), many.rate, "jobs/CPU-s"),
        Figure::new("cost of a job", one.rate / many.rate, "× of one").at_most(GOAL),
        Figure::new(format!("{connections}: peak memory"), many.memory_mb, "MB"),
    ])
}

struct Measured {
    rate: f64,
    memory_mb: f64,
}

async fn measure(setting: &Setting<'_>, side: usize, jobs: usize) -> Result<Measured> {
    let directory = setting.directory.join(side.to_string());
    std::fs::create_dir_all(&directory)?;
    let sink = Sink::start(&directory).await?;
    let delivery = Delivery {
        items_per_call: 1,
        send: "each",
        base_url: sink.url(),
    };
    let configuration = configuration(&delivery, side);
    let host = MeasuredHost::start(&directory, &configuration).await?;
    host.bulk(bulk(side, jobs)).await?;
    let begin = host.read().await?;
    let delivered = host.delivery(begin, SECONDS).await?;
    Ok(Measured {
        rate: delivered.ended_per_cpu_second(),
        memory_mb: host.peak_memory_mb()?,
    })
}

fn configuration(delivery: &Delivery, side: usize) -> String {
    let mut text = String::new();
    for number in 0..side {
        let _ = write!(text, "[[subscriptions]]\nname = \"s{number}\"\n");
        text.push_str(&delivery.channel(&format!("c{number}"), LIMITS));
    }
    for number in 0..side * side {
        let (subscription, channel) = (number / side, number % side);
        text.push_str(&delivery.connection(&format!("s{subscription}"), &format!("c{channel}")));
    }
    text
}

/// The jobs take the connections in turn.
fn bulk(side: usize, jobs: usize) -> Bytes {
    let mut text =
        "{\"defaults\":{\"action\":\"upsert\",\"object_type\":\"product\",\"full\":true}}\n"
            .to_owned();
    for number in 0..jobs {
        let (subscription, channel) = (number / side % side, number % side);
        let _ = writeln!(
            text,
            "{{\"subscription\":\"s{subscription}\",\"channel\":\"c{channel}\",\
             \"object_ids\":[\"o{number}\"],\"payload\":{}}}",
            payload(number)
        );
    }
    text.into()
}
