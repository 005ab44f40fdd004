//! The expanded size of a submission is bounded, and a stored submission is never reported as an
//! error.

use egression_core::domain::ids::SubscriptionId;

use super::harness::*;
use crate::api::http::prefer::Preferences;
use crate::api::intake::receive::Received;
use crate::api::intake::submit::{self, Waits};
use crate::api::middleware::auth::Caller;

#[tokio::test]
async fn refused_item_is_stored_small() {
    let host = Host::start().await;
    let long = "x".repeat(2000);
    let channels: Vec<String> = (0..500).map(|i| format!("{long}{i}")).collect();
    let bad =
        json!({"channels": channels, "object_type": long, "object_ids": [long], "source": long});
    let answer = host.post("/v1/bulk", bulk([bad, line("1")])).await;
    answer.expect(202).shows("/counts/rejected", 1);
    let jobs = format!("{}/jobs?state=rejected", path(&answer.json()));
    let jobs = host.get(&jobs).await;
    let problem = jobs.json()["items"][0]["problem"].to_string();
    assert!(
        problem.len() < 4000 && problem.contains("more errors"),
        "{} bytes",
        problem.len()
    );
    assert!(
        jobs.text.len() < 6000,
        "the object's name is not kept either: {} bytes",
        jobs.text.len()
    );
}

#[tokio::test]
async fn defaults_count_once_per_job() {
    let host = Host::with(ApiSettings {
        expanded_max_bytes: 1000,
        ..settings()
    })
    .await;
    let mut defaults = defaults();
    defaults["payload"] = json!({"text": "x".repeat(300)});
    let bulk = |count: usize| {
        json!({"defaults": defaults,
        "jobs": (0..count).map(|i| line(&i.to_string())).collect::<Vec<_>>()})
    };
    let refused = host.post("/v1/bulk", bulk(4)).await;
    refused
        .expect(413)
        .has_code("too_large")
        .names("api.expanded_max_bytes");
    assert_eq!(host.executions().await, 0);
    host.post("/v1/bulk", bulk(2)).await.expect(202);
}

#[tokio::test]
async fn stored_submission_is_never_reported_as_an_error() {
    let mut host = Host::start().await;
    host.post("/v1/jobs", job("1")).await;
    let execution = host.woken.recv().await.unwrap();
    let store = &host.state.store;
    let id = store.execution(execution).await.unwrap().unwrap().row.id;
    // Whatever happens after the seal: here nothing can be read any more.
    store.close().await;
    let caller = Caller {
        key_id: "key_1".into(),
        role: Role::Submit,
        subscription: Some(SubscriptionId(1)),
        serving: Default::default(),
    };
    let received = Received {
        execution,
        id,
        single: true,
        replayed: false,
    };
    let response = submit::answer(
        &host.state,
        &caller,
        received,
        Preferences::default(),
        Waits::Preferred,
    )
    .await;
    let location = format!("/v1/executions/{id}");
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["operation-location"]
        ),
        (202, &location.parse::<http::HeaderValue>().unwrap())
    );
    let body: Value =
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(body["id"], id.to_string());
}

#[tokio::test]
async fn idempotency_key_of_a_finished_execution_is_a_200() {
    let mut host = Host::start().await;
    let post = |host: &Host| {
        let call = host.post("/v1/bulk", bulk([line("1")]));
        call.with("idempotency-key", "run-7")
    };
    post(&host).await.expect(202);
    // Not finished yet.
    post(&host).await.expect(202);
    let seq = host.woken.recv().await.unwrap();
    host.reject(seq.job(0)).await;
    let replay = post(&host).await;
    replay.expect(200).shows("/jobs/0/state", "rejected");
}
