//! The host dies or is asked to go, and comes back on its data.

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

use crate::rig::{FAST_RETRY, Layout, Rig, category, category_job};

fn slow(ms: u64) -> Faults {
    Faults {
        latency: Latency { share: 1.0, ms },
        ..Faults::default()
    }
}

async fn slow_shop(mode: &'static str) -> Rig {
    let scenario = Scenario {
        faults: slow(300),
        ..Scenario::default()
    };
    Layout {
        scenario,
        mode,
        channel: format!("max_items = 5\nmax_calls = 4\n{FAST_RETRY}"),
        ..Layout::default()
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

/// In a copy: nothing but a host may touch the database itself.
async fn open_intents(rig: &Rig) -> Result<i64> {
    let directory = tempfile::tempdir()?;
    for name in ["egression.db", "egression.db-wal"] {
        let from = rig.host.data_dir().join(name);
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

async fn expect_clean(rig: &Rig, objects: usize) {
    let report = rig.shop.report();
    assert_eq!(
        (report.repeated_other_key, report.objects["category"]),
        (0, objects as u64),
        "{report:?}"
    );
    let mut keys: HashMap<String, Option<String>> = HashMap::new();
    for write in rig.log.writes().await.unwrap() {
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
async fn a_killed_host_repeats_its_open_intents_under_the_same_keys() {
    for mode in ["batch", "single"] {
        let mut rig = slow_shop(mode).await;
        let execution = rig.bulk(json!({}), jobs(60)).await.unwrap();
        rig.until(&execution, |view| {
            view["counts"]["succeeded"].as_u64() >= Some(5)
        })
        .await
        .unwrap();
        // All four calls hang when the host dies.
        rig.log
            .change(&ScenarioChange {
                faults: Some(slow(60_000)),
                ..ScenarioChange::default()
            })
            .await
            .unwrap();
        let before = rig.shop.report().calls;
        rig.until(&execution, |_| rig.shop.report().calls >= before + 4)
            .await
            .unwrap();
        rig.host.kill9().await.unwrap();
        rig.log
            .change(&ScenarioChange {
                faults: Some(Faults::default()),
                ..ScenarioChange::default()
            })
            .await
            .unwrap();
        let open = open_intents(&rig).await.unwrap();
        assert!(open > 0, "the host was killed in the middle");
        rig.restart().await.unwrap();
        rig.expect_all_succeeded(&execution, 60).await.unwrap();
        expect_clean(&rig, 60).await;
        assert!(
            rig.shop.report().repeated_same_key <= open.cast_unsigned(),
            "{:?}",
            rig.shop.report()
        );
        let recovered = rig.jobs(&execution).await.unwrap();
        let mut noted = 0;
        for job in &recovered {
            noted += rig.stages(job, "recovered").await.unwrap();
        }
        assert_eq!(
            noted,
            usize::try_from(open).unwrap(),
            "each open intent is in its job's history"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_asked_to_stop_finishes_what_is_under_way() {
    let mut rig = slow_shop("batch").await;
    let execution = rig.bulk(json!({}), jobs(60)).await.unwrap();
    rig.until(&execution, |view| {
        view["counts"]["in_flight"].as_u64() >= Some(5)
    })
    .await
    .unwrap();
    rig.host.stop(Duration::from_secs(20)).await.unwrap();
    assert_eq!(open_intents(&rig).await.unwrap(), 0);
    let there = rig.log.objects().await.unwrap().len();
    assert!(
        (5..60).contains(&there),
        "{there} of 60 were delivered before the end"
    );
    rig.restart().await.unwrap();
    rig.expect_all_succeeded(&execution, 60).await.unwrap();
    expect_clean(&rig, 60).await;
    assert_eq!(rig.shop.report().repeated_same_key, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_that_was_still_arriving_leaves_nothing() {
    let mut rig = Layout::default().start().await.unwrap();
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
    let request = rig
        .rest
        .request(Method::POST, "/v1/bulk")
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send();
    let sending = tokio::spawn(request);
    // Staged, but not sealed: the request goes on.
    while staged(&rig).await.unwrap() < 2000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.host.kill9().await.unwrap();
    assert!(sending.await.unwrap().is_err(), "nobody was told of it");
    rig.restart().await.unwrap();
    let all: Value = rig.rest.get("/v1/executions").await.unwrap();
    assert_eq!(all["items"], json!([]), "{all}");
    assert_eq!(staged(&rig).await.unwrap(), 0, "the rows are gone");
    assert!(rig.log.writes().await.unwrap().is_empty());
    drop(lines);
}

async fn staged(rig: &Rig) -> Result<i64> {
    let file = rig.host.data_dir().join("egression.db");
    let mut database = SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .connect()
        .await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM job")
        .fetch_one(&mut database)
        .await?)
}
