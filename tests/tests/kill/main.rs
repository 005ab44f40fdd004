//! The kill test kills the host with SIGKILL at drawn fractions of settled jobs, and starts it
//! again on its data each time.
//!
//! 200 objects × 10 updates each, merging off, on two channels: one key per object on the first,
//! one key for everything on the second. A submission without an answer is repeated with its
//! `Idempotency-Key`. The logs of the shops must show that no acknowledged job is lost, that no
//! order is inverted, and that repeats have the same key and are at most as many as the open
//! intents at the kills.
//!
//! `EGRESSION_SEED` and `EGRESSION_KILLS` determine the fractions; the test prints both. `cargo
//! xtask kill-test` runs the whole test.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "a test, not a library"
)]

mod killer;
mod plan;
mod submitter;
mod verdict;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use egression_sandbox::{Faults, Latency, Scenario, Shop};
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::shop::ShopLog;
use tokio::sync::watch;
use tokio::time::timeout;

use killer::Killed;
use plan::Plan;
use submitter::Progress;

/// A longer run counts as a hang.
const DEADLINE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short() {
    let plan = Plan {
        objects: 40,
        updates: 10,
        kills: 4,
        seed: seed(),
    };
    timeout(DEADLINE, proven(plan))
        .await
        .expect("the kill test ends")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; `cargo xtask kill-test` runs it"]
async fn whole() {
    let kills = from_environment("EGRESSION_KILLS").unwrap_or(20);
    let plan = Plan {
        objects: 200,
        updates: 10,
        kills: usize::try_from(kills).unwrap(),
        seed: seed(),
    };
    timeout(DEADLINE * 3, proven(plan))
        .await
        .expect("the kill test ends")
        .unwrap();
}

/// The number of runs before the test gives up. A run is repeated if it ends before the last kill,
/// or if no kill finds an open intent.
const RUNS: u64 = 3;

/// Repeats until the host was killed as planned. Every run must be clean.
async fn proven(plan: Plan) -> Result<()> {
    for run_number in 0..RUNS {
        let plan = Plan {
            seed: plan.seed.wrapping_add(run_number),
            ..plan.clone()
        };
        let killed = run(plan.clone()).await?;
        if verdict::is_as_planned(&plan, &killed) {
            return Ok(());
        }
        eprintln!("not as planned, the next seed: {killed:?}");
    }
    anyhow::bail!("in {RUNS} runs, the host was never killed as planned with open intents")
}

async fn run(plan: Plan) -> Result<Killed> {
    eprintln!(
        "kill test: seed {}, {} objects × {} updates, {} kills",
        plan.seed, plan.objects, plan.updates, plan.kills
    );
    let directory = tempfile::tempdir()?;
    let shops = [shop(&plan, 1).await?, shop(&plan, 2).await?];
    let mut host = TestHost::new(
        binary::egression()?,
        directory.path().to_owned(),
        &plan::configuration(&urls(&shops)),
    )?;
    host.env("SHOP_API_KEY", &Scenario::default().credentials.api_key);
    let outcome = worked(&plan, &mut host, &shops, directory.path()).await;
    if outcome.is_err() {
        eprintln!(
            "the host's data and log are kept in {}\n{}",
            directory.keep().display(),
            host.last_lines()
        );
    }
    outcome
}

async fn worked(
    plan: &Plan,
    host: &mut TestHost,
    shops: &[egression_sandbox::RunningShop; 2],
    directory: &Path,
) -> Result<Killed> {
    host.restart().await?;
    host.install_connector(&binary::connector("sandbox")?)
        .await?;
    let (running, seen) = watch::channel(Some(host.rest()?));
    let progress = Arc::new(Progress::default());
    let submissions = tokio::spawn(submitter::submit_all(
        plan.clone(),
        seen,
        Arc::clone(&progress),
    ));
    let killed = killer::kill_and_wait(plan, host, &running, &progress, directory).await?;
    submissions.await.context("the submitter ends")??;

    let urls = urls(shops);
    let logs = [
        ShopLog::new(urls[0].clone())?,
        ShopLog::new(urls[1].clone())?,
    ];
    let verdict = verdict::judge(plan, &logs, &killed).await?;
    eprintln!("{verdict}");
    anyhow::ensure!(
        verdict.is_clean(),
        "not clean, seed {}: {verdict}",
        plan.seed
    );
    Ok(killed)
}

/// A shop with only one fault: latency, so that calls are open when the host is killed.
async fn shop(plan: &Plan, number: u64) -> Result<egression_sandbox::RunningShop> {
    let faults = Faults {
        latency: Latency { share: 0.2, ms: 20 },
        ..Faults::default()
    };
    let scenario = Scenario {
        faults,
        seed: plan.seed.wrapping_add(number),
        ..Scenario::default()
    };
    Ok(Shop::start(scenario, "127.0.0.1:0".parse()?).await?)
}

fn urls(shops: &[egression_sandbox::RunningShop; 2]) -> [String; 2] {
    [
        format!("http://{}", shops[0].addr()),
        format!("http://{}", shops[1].addr()),
    ]
}

#[allow(
    clippy::disallowed_methods,
    reason = "the seed itself is random, and printed"
)]
fn seed() -> u64 {
    from_environment("EGRESSION_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}
