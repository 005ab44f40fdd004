//! How much of its pace a channel keeps next to another tenant's channel in trouble.
//!
//! Two paces are measured: of a channel whose limit sets the pace, as a destination does, and of a
//! channel without a limit, which uses the machine as far as it can. Each is measured next to one
//! neighbor at a time, and alone before and after it. The ratio of the two is the figure, so that a
//! busy machine changes both sides of it.

use std::path::Path;

use anyhow::{Result, ensure};
use egression_sandbox::Scenario;
use egression_tests::binary;
use egression_tests::follow;
use egression_tests::host::TestHost;
use egression_tests::rest::Rest;
use egression_tests::shop::ShopProcess;
use egression_tests::stopwatch::Stopwatch;
use reqwest::Method;
use serde_json::{Value, json};

use crate::figure::Figure;

/// The share of its pace that a channel keeps.
const KEPT: f64 = 0.9;
/// What the limit of the measured channel admits per second.
const RATE: u64 = 150;
const LIMITED: Measured = Measured {
    channel: "limited",
    objects: 1_200,
    at_least: Some(KEPT),
};
const UNLIMITED: Measured = Measured {
    channel: "unlimited",
    objects: 3_000,
    at_least: None,
};

/// A channel whose pace is measured.
struct Measured {
    channel: &'static str,
    objects: usize,
    at_least: Option<f64>,
}

/// Another tenant's channel in trouble.
struct Neighbor {
    name: &'static str,
    connector: &'static str,
    jobs: usize,
}

const NEIGHBORS: [Neighbor; 5] = [
    hostile("loop"),
    hostile("eat-memory"),
    hostile("poll-forever"),
    Neighbor {
        name: "down",
        connector: "sandbox",
        jobs: 500,
    },
    Neighbor {
        name: "large",
        connector: "sandbox",
        jobs: 20_000,
    },
];

const fn hostile(name: &'static str) -> Neighbor {
    Neighbor {
        name,
        connector: "hostile",
        jobs: 2_000,
    }
}

pub(crate) async fn run(directory: &Path) -> Result<Vec<Figure>> {
    let egression = binary::egression()?;
    let shop = ShopProcess::start(&egression, "shop", &Scenario::default(), directory).await?;
    // Nobody listens at the address of a closed socket.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let configuration = configuration(&shop.url(), &format!("http://{gone}"));
    let mut host = TestHost::new(egression, directory.to_owned(), &configuration)?;
    let secret = Scenario::default().credentials.client_secret;
    host.env("SHOP_SECRET", &secret);
    host.restart().await?;
    for connector in ["sandbox", "hostile"] {
        host.install_connector(&binary::connector(connector)?)
            .await?;
    }
    let bench = Bench {
        rest: host.rest()?,
        measurements: std::cell::Cell::new(0),
    };
    let mut figures = Vec::new();
    for measured in [LIMITED, UNLIMITED] {
        bench.pace(&measured).await?;
        let mut alone = bench.pace(&measured).await?;
        let name = format!("{} alone", measured.channel);
        figures.push(Figure::new(name, alone, "jobs/s"));
        for neighbor in &NEIGHBORS {
            let execution = bench.trouble(neighbor).await?;
            let beside = bench.pace(&measured).await?;
            bench.end(&execution).await?;
            let before = std::mem::replace(&mut alone, bench.pace(&measured).await?);
            let name = format!("{} next to {}", measured.channel, neighbor.name);
            let share = beside / f64::midpoint(before, alone);
            let share = Figure::new(name, share, "of its pace");
            figures.push(match measured.at_least {
                Some(least) => share.at_least(least),
                None => share,
            });
        }
    }
    host.expect_running()?;
    Ok(figures)
}

fn configuration(shop: &str, gone: &str) -> String {
    let mut text = format!(
        "[server.dispatch]\ntraps_after = 1000000\ncircuit_after = 1000000\n\
         [[subscriptions]]\nname = \"acme\"\n[[subscriptions]]\nname = \"other\"\n\
         [[channels]]\nname = \"limited\"\nconnector = \"sandbox\"\nmax_items = 4\n\
         limits = [{{ kind = \"token_bucket\", rate = {RATE}, burst = 10 }}]\n\
         [[channels]]\nname = \"unlimited\"\nconnector = \"sandbox\"\nmax_items = 4\n{}{}",
        connection("acme", "limited", shop),
        connection("acme", "unlimited", shop),
    );
    for Neighbor {
        name, connector, ..
    } in &NEIGHBORS
    {
        text.push_str(&format!(
            "[[channels]]\nname = \"{name}\"\nconnector = \"{connector}\"\n"
        ));
        text.push_str(&match *name {
            "down" => connection("other", name, gone),
            "large" => format!(
                "limits = [{{ kind = \"token_bucket\", rate = 50, burst = 10 }}]\n{}",
                connection("other", name, shop)
            ),
            behavior => format!(
                "[[connections]]\nsubscription = \"other\"\nchannel = \"{name}\"\n\
                 settings = {{ behave = \"{}\" }}\n",
                behavior.replace('-', "_")
            ),
        });
    }
    text
}

fn connection(subscription: &str, channel: &str, url: &str) -> String {
    format!(
        "[[connections]]\nsubscription = \"{subscription}\"\nchannel = \"{channel}\"\n\
         settings = {{ base_url = \"{url}\", mode = \"single\", login = false }}\n\
         auth = {{ scheme = \"oauth2_client_credentials\", token_url = \"{url}/oauth/token\", \
         client_id = \"sandbox\", client_secret = {{ env = \"SHOP_SECRET\" }} }}\n\
         allow_addresses = [\"127.0.0.1/32\"]\n"
    )
}

struct Bench {
    rest: Rest,
    /// Distinguishes the objects of one measurement from those of the next.
    measurements: std::cell::Cell<u32>,
}

impl Bench {
    /// The jobs per second of the channel, from the submission to the end of the last job.
    async fn pace(&self, measured: &Measured) -> Result<f64> {
        self.measurements.set(self.measurements.get() + 1);
        let number = self.measurements.get();
        let jobs = (0..measured.objects).map(|n| {
            let id = format!("{number}-{n}");
            job("acme", measured.channel, "category", &id)
        });
        let watch = Stopwatch::start();
        let execution = self.submit(jobs.collect()).await?;
        let done = follow::until_done(&self.rest, &execution).await?;
        let seconds = watch.seconds();
        ensure!(done["status"] == "succeeded", "not all succeeded: {done:#}");
        Ok(measured.objects as f64 / seconds)
    }

    /// Gets a neighbor into trouble.
    async fn trouble(&self, neighbor: &Neighbor) -> Result<Value> {
        // The connector `hostile` knows no other type.
        let object_type = match neighbor.connector {
            "hostile" => "product",
            _ => "category",
        };
        let jobs =
            (0..neighbor.jobs).map(|n| job("other", neighbor.name, object_type, &format!("p{n}")));
        let execution = self.submit(jobs.collect()).await?;
        follow::until_in_flight(&self.rest, &execution).await
    }

    /// Cancels the neighbor's jobs and waits until the last call ended.
    async fn end(&self, execution: &Value) -> Result<()> {
        let running = follow::look(&self.rest, execution).await?;
        ensure!(
            running["done"] == false,
            "the neighbor was out of trouble too early: {running:#}"
        );
        let cancel = format!("{}:cancel", follow::path_of(execution)?);
        let answer = self
            .rest
            .send(self.rest.request(Method::POST, &cancel))
            .await?;
        ensure!(answer.status < 300, "cannot cancel: {}", answer.text);
        follow::until_done(&self.rest, execution).await?;
        Ok(())
    }

    async fn submit(&self, jobs: Vec<Value>) -> Result<Value> {
        let answer = follow::bulk(&self.rest, &jobs, "").await?;
        Ok(answer.expect(202)?.json)
    }
}

fn job(subscription: &str, channel: &str, object_type: &str, id: &str) -> Value {
    json!({
        "subscription": subscription, "channel": channel, "action": "upsert", "full": true,
        "object_type": object_type, "object_ids": [id], "payload": {"name": {"en": id}},
    })
}
