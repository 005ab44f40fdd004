//! Measures how much of its pace a channel keeps while its neighbors are in trouble. Run it with
//! `cargo nextest run --workspace --run-ignored only -E 'test(pace::)' --no-capture`.

use anyhow::Result;
use egression_sandbox::{Scenario, Shop};
use egression_tests::binary;
use egression_tests::follow::upsert;
use egression_tests::stopwatch::Stopwatch;
use serde_json::{Value, json};

use crate::harness::{Harness, Setup, TENANT, category, category_job, connection};

/// Objects of the measured channel, and the objects that its limit admits per second.
const OBJECTS: usize = 1500;
const RATE: u64 = 150;
/// Jobs of a neighbor in trouble, and of a large one.
const TROUBLED: usize = 500;
const LARGE: usize = 20_000;

/// Another tenant's channel, and its jobs.
struct Neighbor {
    name: &'static str,
    job: fn(usize) -> Value,
    jobs: usize,
}

const NEIGHBORS: [Neighbor; 3] = [
    Neighbor {
        name: "loops",
        job: |n| upsert("loops", &format!("p{n}")),
        jobs: TROUBLED,
    },
    Neighbor {
        name: "down",
        job: |n| category_job(&format!("c{n}"), &category("x")),
        jobs: TROUBLED,
    },
    Neighbor {
        name: "large",
        job: |n| category_job(&format!("c{n}"), &category("x")),
        jobs: LARGE,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn pace_with_neighbors_in_trouble() {
    let slow = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let channel = |name: &str, more: &str| {
        format!("[[channels]]\nname = \"{name}\"\nconnector = \"sandbox\"\n{more}")
    };
    let of = |name: &str, url: String| {
        format!(
            "[[connections]]\nsubscription = \"other\"\nchannel = \"{name}\"\n{}",
            connection(&url, "single", false)
        )
    };
    let more = [
        "[[subscriptions]]\nname = \"other\"\n".to_owned(),
        "[[channels]]\nname = \"loops\"\nconnector = \"hostile\"\n".to_owned(),
        "[[connections]]\nsubscription = \"other\"\nchannel = \"loops\"\n\
         settings = { behave = \"loop\" }\n"
            .to_owned(),
        channel("down", ""),
        of("down", format!("http://{gone}")),
        channel(
            "large",
            "limits = [{ kind = \"token_bucket\", rate = 50, burst = 10 }]\n",
        ),
        of("large", format!("http://{}", slow.addr())),
    ];
    let harness = Setup {
        mode: "single",
        channel: format!(
            "max_items = 4\nlimits = [{{ kind = \"token_bucket\", rate = {RATE}, burst = 10 }}]\n"
        ),
        more: more.concat(),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    harness
        .host
        .install_connector(&binary::connector("hostile").unwrap())
        .await
        .unwrap();
    measured(&harness, "warm").await.unwrap();
    let alone = measured(&harness, "alone").await.unwrap();
    eprintln!("alone: {OBJECTS} objects in {alone:.2} s, the limit admits {RATE} per second");
    let mut executions = Vec::new();
    for neighbor in &NEIGHBORS {
        let jobs = (0..neighbor.jobs)
            .map(|n| of_other((neighbor.job)(n), neighbor.name))
            .collect();
        executions.push(harness.bulk(json!({}), jobs).await.unwrap());
        let took = measured(&harness, neighbor.name).await.unwrap();
        eprintln!(
            "with {} and the previous neighbors: {:.3} of its pace",
            neighbor.name,
            alone / took
        );
    }
    for execution in executions {
        harness
            .act(&format!("/v1/executions/{execution}:cancel"))
            .await
            .unwrap();
    }
}

fn of_other(mut job: Value, channel: &str) -> Value {
    job["subscription"] = json!("other");
    job["channel"] = json!(channel);
    job
}

/// The seconds from the submission to the end of the last job.
async fn measured(harness: &Harness, name: &str) -> Result<f64> {
    let jobs = (0..OBJECTS)
        .map(|n| category_job(&format!("{name}-{n}"), &category(name)))
        .collect();
    let watch = Stopwatch::start();
    let execution = harness
        .bulk(json!({ "subscription": TENANT }), jobs)
        .await?;
    harness
        .expect_all_succeeded(&execution, OBJECTS as u64)
        .await?;
    Ok(watch.seconds())
}
