//! How much of its limits the host uses, and that a strict destination refuses nothing, measured at
//! the destination.

use anyhow::Result;
use egression_sandbox::{Limit, Scenario, Shop};
use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::delaying_proxy::DelayingProxy;
use crate::harness::recording_destination::{Read, RecordingDestination, Write};
use crate::harness::{Harness, PATIENCE, Setup, category, category_job};

const SEED: u64 = 20_261_130;

fn categories(jobs: usize) -> Vec<Value> {
    (0..jobs)
        .map(|n| category_job(&format!("c{n}"), &category("c")))
        .collect()
}

/// A host with the sandbox shop behind a network that delays by up to `max_ms`.
async fn behind(setup: Setup, max_ms: u64) -> Result<(Harness, DelayingProxy)> {
    eprintln!("seed {SEED}");
    let shop = Shop::start(setup.scenario.clone(), "127.0.0.1:0".parse()?).await?;
    let proxy = DelayingProxy::start(shop.addr(), max_ms, SEED).await?;
    let host = TestHost::unstarted(&setup.text(&proxy.url()))?;
    Ok((setup.install(host, shop).await?, proxy))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_without_a_burst_refuses_nothing_on_a_jittery_network() {
    const JOBS: usize = 100;
    let setup = Setup {
        scenario: Scenario {
            limits: vec![Limit::TokenBucket {
                rate: 25,
                per_ms: 1000,
                burst: 1,
            }],
            ..Scenario::default()
        },
        channel: "max_items = 1\nlimits = [\
                  { kind = \"token_bucket\", rate = 25, burst = 1 }]\n"
            .to_owned(),
        mode: "single",
        ..Setup::default()
    };
    let (harness, _proxy) = behind(setup, 40).await.unwrap();
    let execution = harness.bulk(json!({}), categories(JOBS)).await.unwrap();
    harness
        .expect_all_succeeded(&execution, JOBS as u64)
        .await
        .unwrap();
    let report = harness.shop.report();
    eprintln!("{report:?}");
    assert_eq!(
        (report.limit_exceeded, report.counted_calls),
        (0, JOBS as u64),
        "{report:?}"
    );
}

/// A connector that sends one request for each item takes as many calls as the destination allows
/// requests at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_with_a_request_each_fill_all_slots() {
    const SLOTS: usize = 8;
    const FIRST: usize = 10;
    let mut script = vec![Write::Kept; FIRST + 1];
    script.resize(FIRST + 1 + SLOTS, Write::Hold);
    let destination = RecordingDestination::start(&script, Read::Truly)
        .await
        .unwrap();
    let channel = HostileChannel::new("write")
        .channel(&format!(
            "limits = [{{ kind = \"concurrency\", max = {SLOTS} }}]"
        ))
        .setting("target_url", &destination.url())
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let host = hostile::start("", &[channel]).await.unwrap();
    let rest = host.rest().unwrap();
    let bulk = |from: usize, to: usize| {
        let lines: Vec<Value> = (from..to)
            .map(|n| upsert("write", &format!("p{n}")))
            .collect();
        let rest = rest.clone();
        async move { follow::bulk(&rest, &lines, "respond-async").await }
    };
    // The first call shows that each item takes a request.
    let first = bulk(0, FIRST).await.unwrap().expect(202).unwrap().json;
    follow::until_done(&rest, &first).await.unwrap();
    follow::submit_and_wait(&rest, &upsert("write", "between"))
        .await
        .unwrap();
    bulk(FIRST, FIRST + 10).await.unwrap().expect(202).unwrap();
    timeout(PATIENCE, destination.until_written(FIRST + 1 + SLOTS))
        .await
        .expect("all slots are in use");
    assert_eq!(
        destination.writes().len(),
        FIRST + 1 + SLOTS,
        "and no more than all"
    );
}
