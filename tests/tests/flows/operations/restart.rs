//! The host is killed or stopped, and starts again on its data.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use egression_sandbox::{Faults, Latency, Scenario, ScenarioChange};
use futures_util::stream;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::mpsc;

use crate::harness::{FAST_RETRY, Harness, Setup, category, category_job};

fn slow(ms: u64) -> Faults {
    Faults {
        latency: Latency { share: 1.0, ms },
        ..Faults::default()
    }
}

async fn slow_shop(mode: &'static str) -> Harness {
    let scenario = Scenario {
        faults: slow(300),
        ..Scenario::default()
    };
    Setup {
        scenario,
        mode,
        channel: format!("max_items = 5\nmax_calls = 4\n{FAST_RETRY}"),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap()
}

fn jobs(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| category_job(&format!("c{n}"), &category(&format!("{n}"))))
        .collect()
}

/// Reads a copy, because only a host may open the database.
async fn open_intents(harness: &Harness) -> Result<i64> {
    let directory = tempfile::tempdir()?;
    for name in ["egression.db", "egression.db-wal"] {
        let from = harness.host.data_dir().join(name);
        if from.exists() {
            std::fs::copy(from, directory.path().join(name))?;
        }
    }
    let mut database = SqliteConnectOptions::new()
        .filename(directory.path().join("egression.db"))
        .connect()
        .await?;
    Ok(
        sqlx::query_scalar("SELECT count(*) FROM intent WHERE open = TRUE")
            .fetch_one(&mut database)
            .await?,
    )
}

async fn expect_clean(harness: &Harness, objects: usize) {
    let report = harness.shop.report();
    assert_eq!(
        (report.repeated_other_key, report.objects["category"]),
        (0, objects as u64),
        "{report:?}"
    );
    let mut keys: HashMap<String, Option<String>> = HashMap::new();
    for write in harness.log.writes().await.unwrap() {
        let first = keys
            .entry(write.id.clone())
            .or_insert_with(|| write.idempotency_key.clone());
        assert_eq!(
            *first, write.idempotency_key,
            "a repeat of {} has its key",
            write.id
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_host_repeats_open_intents_with_the_same_keys() {
    for mode in ["batch", "single"] {
        let mut harness = slow_shop(mode).await;
        let execution = harness.bulk(json!({}), jobs(60)).await.unwrap();
        harness
            .until(&execution, |view| {
                view["counts"]["succeeded"].as_u64() >= Some(5)
            })
            .await
            .unwrap();
        // All four calls are open when the host is killed.
        harness
            .log
            .change(&ScenarioChange {
                faults: Some(slow(60_000)),
                ..ScenarioChange::default()
            })
            .await
            .unwrap();
        let before = harness.shop.report().calls;
        harness
            .until(&execution, |_| harness.shop.report().calls >= before + 4)
            .await
            .unwrap();
        harness.host.kill9().await.unwrap();
        harness
            .log
            .change(&ScenarioChange {
                faults: Some(Faults::default()),
                ..ScenarioChange::default()
            })
            .await
            .unwrap();
        let open = open_intents(&harness).await.unwrap();
        assert!(open > 0, "the host was killed in the middle");
        harness.restart().await.unwrap();
        harness.expect_all_succeeded(&execution, 60).await.unwrap();
        expect_clean(&harness, 60).await;
        assert!(
            harness.shop.report().repeated_same_key <= open.cast_unsigned(),
            "{:?}",
            harness.shop.report()
        );
        let recovered = harness.jobs(&execution).await.unwrap();
        let mut noted = 0;
        for job in &recovered {
            noted += harness.stages(job, "recovered").await.unwrap();
        }
        assert_eq!(
            noted,
            usize::try_from(open).unwrap(),
            "the history of each job has its open intent"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_host_finishes_in_flight_calls() {
    let mut harness = slow_shop("batch").await;
    let execution = harness.bulk(json!({}), jobs(60)).await.unwrap();
    harness
        .until(&execution, |view| {
            view["counts"]["in_flight"].as_u64() >= Some(5)
        })
        .await
        .unwrap();
    harness.host.stop(Duration::from_secs(20)).await.unwrap();
    assert_eq!(open_intents(&harness).await.unwrap(), 0);
    let there = harness.log.objects().await.unwrap().len();
    assert!(
        (5..60).contains(&there),
        "{there} of 60 were delivered before the stop"
    );
    harness.restart().await.unwrap();
    harness.expect_all_succeeded(&execution, 60).await.unwrap();
    expect_clean(&harness, 60).await;
    assert_eq!(harness.shop.report().repeated_same_key, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_bulk_leaves_nothing() {
    let mut harness = Setup::default().start().await.unwrap();
    let (lines, incoming) = mpsc::unbounded_channel::<Result<String, std::io::Error>>();
    let defaults =
        json!({"defaults": {"subscription": "acme", "channels": ["shop"], "action": "upsert"}});
    lines.send(Ok(format!("{defaults}\n"))).unwrap();
    for job in jobs(2500) {
        lines.send(Ok(format!("{job}\n"))).unwrap();
    }
    let body = Body::wrap_stream(stream::unfold(incoming, |mut incoming| async {
        incoming.recv().await.map(|line| (line, incoming))
    }));
    let request = harness
        .rest
        .request(Method::POST, "/v1/bulk")
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send();
    let sending = tokio::spawn(request);
    // The jobs are staged but not sealed, because the request continues.
    while staged(&harness).await.unwrap() < 2000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    harness.host.kill9().await.unwrap();
    assert!(sending.await.unwrap().is_err(), "nobody was told of it");
    harness.restart().await.unwrap();
    let all: Value = harness.rest.get("/v1/executions").await.unwrap();
    assert_eq!(all["items"], json!([]), "{all}");
    assert_eq!(staged(&harness).await.unwrap(), 0, "the rows are gone");
    assert!(harness.log.writes().await.unwrap().is_empty());
    drop(lines);
}

async fn staged(harness: &Harness) -> Result<i64> {
    let file = harness.host.data_dir().join("egression.db");
    let mut database = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .connect()
        .await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM job")
        .fetch_one(&mut database)
        .await?)
}
