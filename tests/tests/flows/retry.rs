//! What happens when a delivery does not succeed.

use anyhow::{Result, ensure};
use egression_sandbox::{CoolDown, Faults, Scenario, ScenarioChange};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{FAST_RETRY, Layout, Rig, category, category_job, waiting};

fn always_503() -> Faults {
    Faults {
        error_5xx: 1.0,
        ..Faults::default()
    }
}

async fn rig(channel: &str, faults: Faults) -> Rig {
    let scenario = Scenario {
        faults,
        ..Scenario::default()
    };
    Layout {
        scenario,
        channel: channel.to_owned(),
        mode: "single",
        ..Layout::default()
    }
    .start()
    .await
    .unwrap()
}

async fn heal(rig: &Rig) {
    rig.log
        .change(&ScenarioChange {
            faults: Some(Faults::default()),
            ..ScenarioChange::default()
        })
        .await
        .unwrap();
}

/// Changes an object in the shop behind the hub's back.
async fn by_hand(rig: &Rig, method: Method, id: &str, body: Option<Value>) -> Result<()> {
    let base = format!("http://{}", rig.shop.addr());
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
async fn a_5xx_is_tried_again_with_the_same_key() {
    let rig = rig(FAST_RETRY, always_503()).await;
    let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
    rig.until(&execution, |_| rig.shop.report().error_5xx_calls >= 2)
        .await
        .unwrap();
    heal(&rig).await;
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
    let job = rig.only_job(&execution).await.unwrap();
    let writes = rig.log.writes().await.unwrap();
    assert_eq!(job["attempts"].as_u64(), Some(writes.len() as u64), "{job}");
    assert_eq!(rig.stages(&job, "sent").await.unwrap(), writes.len());
    assert_eq!(
        rig.stages(&job, "rescheduled").await.unwrap(),
        writes.len() - 1
    );
    assert!(
        writes
            .iter()
            .all(|write| write.idempotency_key == writes[0].idempotency_key)
    );
    let statuses: Vec<_> = rig
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
async fn a_job_that_waits_for_its_retry_says_so() {
    let rig = rig(
        "retry = { base_ms = 3600000, max_ms = 7200000, attempts = 5 }\n",
        always_503(),
    )
    .await;
    let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
    let job = rig.until_waits(&execution, "retry").await.unwrap();
    assert_eq!(
        (&job["attempts"], &job["problem"]["http_status"]),
        (&json!(1), &json!(503)),
        "{job}"
    );
    assert!(job["waiting"]["until"].is_string(), "{job}");
    assert_eq!(waiting(&rig.view(&execution).await.unwrap(), "retry"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_up_retries_fail_the_job_and_free_its_key() {
    let rig = rig(
        "partition = \"channel\"\nretry = { base_ms = 10, max_ms = 20, attempts = 3 }\n",
        always_503(),
    )
    .await;
    let job = rig
        .deliver(category_job("c", &category("c")))
        .await
        .unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("failed"), &json!(3)),
        "{job}"
    );
    let view = rig.view(job["execution"].as_str().unwrap()).await.unwrap();
    assert_eq!(
        (&view["errors"][0]["code"], &view["status"]),
        (&json!("retries_exhausted"), &json!("failed")),
        "{view}"
    );
    assert_eq!(rig.log.writes().await.unwrap().len(), 3);
    heal(&rig).await;
    assert_eq!(
        rig.deliver(category_job("d", &category("d")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_exhausted_block_keeps_the_key_for_a_person() {
    let rules = "partition = \"channel\"\non_exhausted = \"block\"\nretry = { base_ms = 10, max_ms = 20, attempts = 2 }\n";
    let rig = rig(rules, always_503()).await;
    let first = rig.submit(category_job("c", &category("c"))).await.unwrap();
    rig.until_waits(&first, "blocked").await.unwrap();
    let second = rig.submit(category_job("d", &category("d"))).await.unwrap();
    rig.until_waits(&second, "blocked").await.unwrap();
    assert_eq!(
        rig.log.writes().await.unwrap().len(),
        2,
        "the one behind is not sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_decide_before_the_hosts_table() {
    for (rule, state) in [("reject_on", "rejected"), ("success_on", "succeeded")] {
        let rig = rig(
            &format!("retry = {{ base_ms = 10, {rule} = [\"503\"] }}\n"),
            always_503(),
        )
        .await;
        let job = rig
            .deliver(category_job("c", &category("c")))
            .await
            .unwrap();
        assert_eq!(
            (&job["state"], &job["attempts"]),
            (&json!(state), &json!(1)),
            "{rule}: {job}"
        );
        assert_eq!(rig.log.writes().await.unwrap().len(), 1, "{rule}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_on_makes_a_refusal_transient() {
    let create = |body: &Value| {
        let mut job = category_job("c", body);
        job["action"] = json!("create");
        job
    };
    let rig = rig(
        "retry = { base_ms = 10, max_ms = 20, attempts = 2, retry_on = [\"version.exists\"] }\n",
        Faults::default(),
    )
    .await;
    assert_eq!(
        rig.deliver(create(&category("one"))).await.unwrap()["state"],
        "succeeded"
    );
    let job = rig.deliver(create(&category("two"))).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"], &job["problem"]["code"]),
        (&json!("failed"), &json!(2), &json!("version.exists")),
        "{job}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_closes_the_limit_and_spends_no_attempt() {
    let faults = Faults {
        cool_downs: vec![CoolDown {
            after_calls: 1,
            ms: 2500,
        }],
        ..Faults::default()
    };
    let rig = rig("", faults).await;
    rig.deliver(category_job("first", &category("first")))
        .await
        .unwrap();
    let execution = rig.submit(category_job("c", &category("c"))).await.unwrap();
    let job = rig.until_waits(&execution, "limit").await.unwrap();
    assert!(job["waiting"]["until"].is_string(), "{job}");
    assert_eq!(job["attempts"], 0, "{job}");
    // Another job of the connection is not even tried.
    let other = rig.submit(category_job("d", &category("d"))).await.unwrap();
    rig.until_waits(&other, "limit").await.unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
    rig.expect_all_succeeded(&other, 1).await.unwrap();
    assert_eq!(rig.only_job(&execution).await.unwrap()["attempts"], 1);
    assert_eq!(rig.shop.report().calls_while_closed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_there_is_met_with_that_version() {
    let rig = rig("", Faults::default()).await;
    rig.deliver(category_job("c", &category("ours")))
        .await
        .unwrap();
    by_hand(&rig, Method::PUT, "c", Some(category("theirs")))
        .await
        .unwrap();
    let mut update = category_job("c", &category("ours again"));
    update["action"] = json!("update");
    let job = rig.deliver(update).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job}"
    );
    let statuses: Vec<_> = rig
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
async fn an_update_of_what_is_gone_becomes_an_upsert() {
    let rig = rig("", Faults::default()).await;
    let mut update = category_job("c", &category("c"));
    update["action"] = json!("update");
    let job = rig.deliver(update).await.unwrap();
    assert_eq!(
        (&job["state"], &job["action"]),
        (&json!("succeeded"), &json!("upsert")),
        "{job}"
    );
    let writes: Vec<_> = rig
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
async fn a_delete_of_what_is_gone_is_a_success() {
    let rig = rig("", Faults::default()).await;
    let delete =
        |id: &str| json!({"object_type": "category", "object_ids": [id], "action": "delete"});
    let job = rig.deliver(delete("never")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["changed"]),
        (&json!("succeeded"), &json!(false)),
        "{job}"
    );
    rig.deliver(category_job("c", &category("c")))
        .await
        .unwrap();
    let job = rig.deliver(delete("c")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["changed"], &job["remotes"]),
        (&json!("succeeded"), &json!(true), &json!([])),
        "{job}"
    );
    assert!(rig.log.objects().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_repeated_with_the_same_bytes_and_key() {
    let rig = rig(
        FAST_RETRY,
        Faults {
            drop_after_write: 1.0,
            ..Faults::default()
        },
    )
    .await;
    let job = rig
        .deliver(category_job("c", &category("c")))
        .await
        .unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(2)),
        "{job}"
    );
    assert_eq!(rig.stages(&job, "no_answer").await.unwrap(), 1);
    let report = rig.shop.report();
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
