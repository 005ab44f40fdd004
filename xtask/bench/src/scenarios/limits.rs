//! How much of its limits a channel uses, as the destination counts it, for each kind of limit and
//! for several at once.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use egression_sandbox::{Faults, Latency, Limit, Scenario};
use egression_tests::binary;
use egression_tests::follow;
use egression_tests::host::TestHost;
use egression_tests::shop::ShopProcess;
use serde_json::{Value, json};

use crate::figure::Figure;

/// The share of a limit that a channel uses.
const USED: f64 = 0.95;
/// The time that a channel with limits takes.
const SECONDS: f64 = 15.0;
/// How long the shop takes for a request while its slots are the limit.
const SLOW_MS: u64 = 100;
const SLOTS: u64 = 8;

/// A channel with limits, and a shop that has the same ones.
struct Case {
    name: &'static str,
    limits: Vec<Limit>,
    /// The shop does not check it.
    min_interval_ms: Option<u64>,
    /// The requests per second that all limits together allow.
    per_second: f64,
    latency_ms: u64,
}

impl Case {
    fn new(name: &'static str, limits: Vec<Limit>, per_second: f64) -> Self {
        Self {
            name,
            limits,
            min_interval_ms: None,
            per_second,
            latency_ms: 0,
        }
    }

    fn min_interval(self, ms: u64) -> Self {
        Self {
            min_interval_ms: Some(ms),
            ..self
        }
    }
}

fn cases() -> [Case; 6] {
    let bucket = |rate, burst| Limit::TokenBucket {
        rate,
        per_ms: 1_000,
        burst,
    };
    let window = |max| Limit::Window {
        max,
        window_ms: 1_000,
    };
    let slots = Limit::Concurrency { max: SLOTS };
    [
        Case::new("token_bucket", vec![bucket(20, 5)], 20.0),
        Case::new("token_bucket, burst 1", vec![bucket(10, 1)], 10.0),
        Case::new("window", vec![window(20)], 20.0),
        Case::new("min_interval", vec![], 10.0).min_interval(100),
        Case::new(
            "all four",
            vec![bucket(10, 5), window(10), slots.clone()],
            10.0,
        )
        .min_interval(100),
        Case {
            latency_ms: SLOW_MS,
            ..Case::new("concurrency", vec![slots], (SLOTS * 1_000 / SLOW_MS) as f64)
        },
    ]
}

pub(crate) async fn run(directory: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (number, case) in cases().into_iter().enumerate() {
        let directory = directory.join(number.to_string());
        std::fs::create_dir(&directory)?;
        let used = used(&case, &directory).await?;
        figures.push(Figure::new(case.name, used, "of the limit").at_least(USED));
    }
    Ok(figures)
}

async fn used(case: &Case, directory: &Path) -> Result<f64> {
    let egression = binary::egression()?;
    let scenario = Scenario {
        limits: case.limits.clone(),
        faults: Faults {
            latency: Latency {
                share: 1.0,
                ms: case.latency_ms,
            },
            ..Faults::default()
        },
        ..Scenario::default()
    };
    let shop = ShopProcess::start(&egression, "shop", &scenario, directory).await?;
    let text = configuration(case, &shop.url());
    let mut host = TestHost::new(egression, directory.to_owned(), &text)?;
    host.env("SHOP_SECRET", &scenario.credentials.client_secret);
    host.restart().await?;
    host.install_connector(&binary::connector("sandbox")?)
        .await?;
    let rest = host.rest()?;
    let jobs: Vec<Value> = (0..(case.per_second * SECONDS) as usize).map(job).collect();
    let answer = follow::bulk(&rest, &jobs, "respond-async").await?;
    let done = follow::until_done(&rest, &answer.expect(202)?.json).await?;
    ensure!(done["status"] == "succeeded", "not all succeeded: {done:#}");
    let report = shop.log().report().await?;
    ensure!(
        report.limit_exceeded == 0,
        "the shop refused requests: {report:?}"
    );
    let calls = shop.log().calls().await?;
    let arrivals: Vec<u64> = calls
        .iter()
        .filter(|call| call.counted)
        .map(|call| call.at_us)
        .collect();
    let (first, last) = arrivals
        .iter()
        .min()
        .zip(arrivals.iter().max())
        .context("nothing arrived")?;
    let seconds = (last - first) as f64 / 1e6;
    Ok((arrivals.len() - 1) as f64 / seconds / case.per_second)
}

fn configuration(case: &Case, shop: &str) -> String {
    let interval = case
        .min_interval_ms
        .map(|ms| format!("{{ kind = \"min_interval\", interval_ms = {ms} }}"));
    let limits: Vec<String> = case.limits.iter().map(limit).chain(interval).collect();
    format!(
        "[[subscriptions]]\nname = \"acme\"\n\
         [[channels]]\nname = \"shop\"\nconnector = \"sandbox\"\nlimits = [{}]\n\
         [[connections]]\nsubscription = \"acme\"\nchannel = \"shop\"\n\
         settings = {{ base_url = \"{shop}\", mode = \"single\", login = false }}\n\
         auth = {{ scheme = \"oauth2_client_credentials\", token_url = \"{shop}/oauth/token\", \
         client_id = \"sandbox\", client_secret = {{ env = \"SHOP_SECRET\" }} }}\n\
         allow_addresses = [\"127.0.0.1/32\"]\n",
        limits.join(", ")
    )
}

fn limit(limit: &Limit) -> String {
    match limit {
        Limit::TokenBucket { rate, burst, .. } => {
            format!("{{ kind = \"token_bucket\", rate = {rate}, burst = {burst} }}")
        }
        Limit::Window { max, window_ms } => {
            format!("{{ kind = \"window\", max = {max}, window_ms = {window_ms} }}")
        }
        Limit::Concurrency { max } => format!("{{ kind = \"concurrency\", max = {max} }}"),
    }
}

fn job(number: usize) -> Value {
    let id = format!("c{number}");
    json!({
        "subscription": "acme", "channel": "shop", "action": "upsert", "full": true,
        "object_type": "category", "object_ids": [id], "payload": {"name": {"en": id}},
    })
}
