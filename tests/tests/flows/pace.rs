//! What is left of a channel's pace beside neighbours in trouble, measured by hand:
//! `cargo nextest run --workspace --run-ignored only -E 'test(pace::)' --no-capture`.

use anyhow::Result;
use egression_sandbox::{Scenario, Shop};
use egression_tests::binary;
use egression_tests::follow::upsert;
use egression_tests::stopwatch::Stopwatch;
use serde_json::{Value, json};

use crate::rig::{Layout, Rig, TENANT, category, category_job, connection};

/// Objects of the channel that is measured, and what its limit admits in a second.
const OBJECTS: usize = 1500;
const RATE: u64 = 150;
/// Jobs of a neighbour in trouble, and of one that is only large.
const TROUBLED: usize = 500;
const LARGE: usize = 20_000;

/// Another tenant's channel, and its jobs.
struct Neighbour {
    name: &'static str,
    job: fn(usize) -> Value,
    jobs: usize,
}

const NEIGHBOURS: [Neighbour; 3] = [
    Neighbour {
        name: "loops",
        job: |n| upsert("loops", &format!("p{n}")),
        jobs: TROUBLED,
    },
    Neighbour {
        name: "down",
        job: |n| category_job(&format!("c{n}"), &category("x")),
        jobs: TROUBLED,
    },
    Neighbour {
        name: "large",
        job: |n| category_job(&format!("c{n}"), &category("x")),
        jobs: LARGE,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn beside_neighbours_in_trouble() {
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
        "[[connections]]\nsubscription = \"other\"\nchannel = \"loops\"\nsettings = { behave = \"loop\" }\n".to_owned(),
        channel("down", ""),
        of("down", format!("http://{gone}")),
        channel("large", "limits = [{ kind = \"token_bucket\", rate = 50, burst = 10 }]\n"),
        of("large", format!("http://{}", slow.addr())),
    ];
    let rig = Layout {
        mode: "single",
        channel: format!(
            "max_items = 4\nlimits = [{{ kind = \"token_bucket\", rate = {RATE}, burst = 10 }}]\n"
        ),
        more: more.concat(),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    rig.host
        .install_connector(&binary::connector("hostile").unwrap())
        .await
        .unwrap();
    measured(&rig, "warm").await.unwrap();
    let alone = measured(&rig, "alone").await.unwrap();
    eprintln!("alone: {OBJECTS} objects in {alone:.2} s, the limit admits {RATE} a second");
    let mut beside = Vec::new();
    for neighbour in &NEIGHBOURS {
        let jobs = (0..neighbour.jobs)
            .map(|n| of_other((neighbour.job)(n), neighbour.name))
            .collect();
        beside.push(rig.bulk(json!({}), jobs).await.unwrap());
        let took = measured(&rig, neighbour.name).await.unwrap();
        eprintln!(
            "beside {} and those before: {:.3} of its pace",
            neighbour.name,
            alone / took
        );
    }
    for execution in beside {
        rig.act(&format!("/v1/executions/{execution}:cancel"))
            .await
            .unwrap();
    }
}

fn of_other(mut job: Value, channel: &str) -> Value {
    job["subscription"] = json!("other");
    job["channel"] = json!(channel);
    job
}

/// Seconds from the first of its jobs to the end of the last.
async fn measured(rig: &Rig, name: &str) -> Result<f64> {
    let jobs = (0..OBJECTS)
        .map(|n| category_job(&format!("{name}-{n}"), &category(name)))
        .collect();
    let watch = Stopwatch::start();
    let execution = rig.bulk(json!({ "subscription": TENANT }), jobs).await?;
    rig.expect_all_succeeded(&execution, OBJECTS as u64).await?;
    Ok(watch.seconds())
}
