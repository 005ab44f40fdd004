//! Retries, exhausted retries, rules, conflicts and lost answers.

use anyhow::{Result, ensure};
use egression_sandbox::{CoolDown, Faults, Scenario, ScenarioChange};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{FAST_RETRY, Harness, Setup, category, category_job, waiting};

fn always_503() -> Faults {
    Faults {
        error_5xx: 1.0,
        ..Faults::default()
    }
}

async fn harness(channel: &str, faults: Faults) -> Harness {
    let scenario = Scenario {
        faults,
        ..Scenario::default()
    };
    Setup {
        scenario,
        channel: channel.to_owned(),
        mode: "single",
        ..Setup::default()
    }
    .start()
    .await
    .unwrap()
}

async fn heal(harness: &Harness) {
    harness
        .log
        .change(&ScenarioChange {
            faults: Some(Faults::default()),
            ..ScenarioChange::default()
        })
        .await
        .unwrap();
}

/// Changes an object in the shop directly.
async fn by_hand(harness: &Harness, method: Method, id: &str, body: Option<Value>) -> Result<()> {
    let base = format!("http://{}", harness.shop.addr());
    let client = reqwest::Client::builder().no_proxy().build()?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "sandbox"),
        ("client_secret", "sandbox-secret"),
    ];
    let token: Value = client
        .post(format!("{base}/oauth/token"))
        .form(&form)
        .send()
        .await?
        .json()
        .await?;
    let mut request = client.request(method, format!("{base}/v1/category/{id}"));
    request = request
        .bearer_auth(token["access_token"].as_str().unwrap_or_default())
        .header("Idempotency-Key", format!("by-hand-{id}"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let status = request.send().await?.status();
    ensure!(status.is_success(), "the shop answered {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_5xx_is_retried_with_the_same_key() {
    let harness = harness(FAST_RETRY, always_503()).await;
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    harness
        .until(&execution, |_| harness.shop.report().error_5xx_calls >= 2)
        .await
        .unwrap();
    heal(&harness).await;
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    let job = harness.only_job(&execution).await.unwrap();
    let writes = harness.log.writes().await.unwrap();
    assert_eq!(job["attempts"].as_u64(), Some(writes.len() as u64), "{job}");
    assert_eq!(harness.stages(&job, "sent").await.unwrap(), writes.len());
    assert_eq!(
        harness.stages(&job, "rescheduled").await.unwrap(),
        writes.len() - 1
    );
    assert!(
        writes
            .iter()
            .all(|write| write.idempotency_key == writes[0].idempotency_key)
    );
    let statuses: Vec<_> = harness
        .events(&job)
        .await
        .unwrap()
        .iter()
        .filter(|e| e["stage"] == "responded" && e["detail"]["method"] == "PUT")
        .map(|e| e["http_status"].clone())
        .collect();
    assert_eq!(
        (statuses.first(), statuses.last()),
        (Some(&json!(503)), Some(&json!(201)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_waiting_for_a_retry_reports_it() {
    let harness = harness(
        "retry = { base_ms = 3600000, max_ms = 7200000, attempts = 5 }\n",
        always_503(),
    )
    .await;
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    let job = harness.until_waits(&execution, "retry").await.unwrap();
    assert_eq!(
        (&job["attempts"], &job["problem"]["http_status"]),
        (&json!(1), &json!(503)),
        "{job}"
    );
    assert!(job["waiting"]["until"].is_string(), "{job}");
    assert_eq!(
        waiting(&harness.view(&execution).await.unwrap(), "retry"),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_retries_fail_the_job_and_free_its_key() {
    let harness = harness(
        "partition = \"channel\"\nretry = { base_ms = 10, max_ms = 20, attempts = 3 }\n",
        always_503(),
    )
    .await;
    let job = harness
        .deliver(category_job("c", &category("c")))
        .await
        .unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("failed"), &json!(3)),
        "{job}"
    );
    let view = harness
        .view(job["execution"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (&view["errors"][0]["code"], &view["status"]),
        (&json!("retries_exhausted"), &json!("failed")),
        "{view}"
    );
    assert_eq!(harness.log.writes().await.unwrap().len(), 3);
    heal(&harness).await;
    assert_eq!(
        harness
            .deliver(category_job("d", &category("d")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_exhausted_block_blocks_the_key() {
    let rules = "partition = \"channel\"\non_exhausted = \"block\"\n\
                 retry = { base_ms = 10, max_ms = 20, attempts = 2 }\n";
    let harness = harness(rules, always_503()).await;
    let first = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    harness.until_waits(&first, "blocked").await.unwrap();
    let second = harness
        .submit(category_job("d", &category("d")))
        .await
        .unwrap();
    harness.until_waits(&second, "blocked").await.unwrap();
    assert_eq!(
        harness.log.writes().await.unwrap().len(),
        2,
        "the second job is not sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_override_the_default_table() {
    for (rule, state) in [("reject_on", "rejected"), ("success_on", "succeeded")] {
        let harness = harness(
            &format!("retry = {{ base_ms = 10, {rule} = [\"503\"] }}\n"),
            always_503(),
        )
        .await;
        let job = harness
            .deliver(category_job("c", &category("c")))
            .await
            .unwrap();
        assert_eq!(
            (&job["state"], &job["attempts"]),
            (&json!(state), &json!(1)),
            "{rule}: {job}"
        );
        assert_eq!(harness.log.writes().await.unwrap().len(), 1, "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_on_makes_a_refusal_transient() {
    let create = |body: &Value| {
        let mut job = category_job("c", body);
        job["action"] = json!("create");
        job
    };
    let harness = harness(
        "retry = { base_ms = 10, max_ms = 20, attempts = 2, retry_on = [\"version.exists\"] }\n",
        Faults::default(),
    )
    .await;
    assert_eq!(
        harness.deliver(create(&category("one"))).await.unwrap()["state"],
        "succeeded"
    );
    let job = harness.deliver(create(&category("two"))).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"], &job["problem"]["code"]),
        (&json!("failed"), &json!(2), &json!("version.exists")),
        "{job}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_429_closes_the_limit_without_an_attempt() {
    let faults = Faults {
        cool_downs: vec![CoolDown {
            after_calls: 1,
            ms: 2500,
        }],
        ..Faults::default()
    };
    let harness = harness("", faults).await;
    harness
        .deliver(category_job("first", &category("first")))
        .await
        .unwrap();
    let execution = harness
        .submit(category_job("c", &category("c")))
        .await
        .unwrap();
    let job = harness.until_waits(&execution, "limit").await.unwrap();
    assert!(job["waiting"]["until"].is_string(), "{job}");
    assert_eq!(job["attempts"], 0, "{job}");
    // No other job of the connection is sent.
    let other = harness
        .submit(category_job("d", &category("d")))
        .await
        .unwrap();
    harness.until_waits(&other, "limit").await.unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    harness.expect_all_succeeded(&other, 1).await.unwrap();
    assert_eq!(harness.only_job(&execution).await.unwrap()["attempts"], 1);
    assert_eq!(harness.shop.report().calls_while_closed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_remote_version_is_retried_with_that_version() {
    let harness = harness("", Faults::default()).await;
    harness
        .deliver(category_job("c", &category("ours")))
        .await
        .unwrap();
    by_hand(&harness, Method::PUT, "c", Some(category("theirs")))
        .await
        .unwrap();
    let mut update = category_job("c", &category("ours again"));
    update["action"] = json!("update");
    let job = harness.deliver(update).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job}"
    );
    let statuses: Vec<_> = harness
        .log
        .writes()
        .await
        .unwrap()
        .iter()
        .map(|write| write.status)
        .collect();
    assert_eq!(statuses, [201, 200, 412, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_of_a_missing_object_becomes_an_upsert() {
    let harness = harness("", Faults::default()).await;
    let mut update = category_job("c", &category("c"));
    update["action"] = json!("update");
    let job = harness.deliver(update).await.unwrap();
    assert_eq!(
        (&job["state"], &job["action"]),
        (&json!("succeeded"), &json!("upsert")),
        "{job}"
    );
    let writes: Vec<_> = harness
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| (write.action.unwrap(), write.status))
        .collect();
    assert_eq!(
        writes,
        [("update".to_owned(), 404), ("upsert".to_owned(), 201)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_of_a_missing_object_succeeds() {
    let harness = harness("", Faults::default()).await;
    let delete =
        |id: &str| json!({"object_type": "category", "object_ids": [id], "action": "delete"});
    let job = harness.deliver(delete("never")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["changed"]),
        (&json!("succeeded"), &json!(false)),
        "{job}"
    );
    harness
        .deliver(category_job("c", &category("c")))
        .await
        .unwrap();
    let job = harness.deliver(delete("c")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["changed"], &job["remotes"]),
        (&json!("succeeded"), &json!(true), &json!([])),
        "{job}"
    );
    assert!(harness.log.objects().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answer_is_repeated_with_the_same_bytes_and_key() {
    let harness = harness(
        FAST_RETRY,
        Faults {
            drop_after_write: 1.0,
            ..Faults::default()
        },
    )
    .await;
    let job = harness
        .deliver(category_job("c", &category("c")))
        .await
        .unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(2)),
        "{job}"
    );
    assert_eq!(harness.stages(&job, "no_answer").await.unwrap(), 1);
    let report = harness.shop.report();
    assert_eq!(
        (
            report.dropped_items,
            report.repeated_same_key,
            report.repeated_other_key
        ),
        (1, 1, 0),
        "{report:?}"
    );
}
