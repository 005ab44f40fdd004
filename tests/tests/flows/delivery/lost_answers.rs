//! Lost answers with a connector that can tell whether a send arrived (reconcile).

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel};
use serde_json::{Value, json};

use crate::harness::recording_destination::{Read, RecordingDestination, Write};

const FAST: &str = "retry = { base_ms = 1, max_ms = 1, attempts = 3 }";

/// A job that creates a notice, which is not idempotent.
fn create(id: &str) -> Value {
    let mut job = upsert("write", id);
    (job["action"], job["object_type"]) = ("create".into(), "notice".into());
    job["payload"] = json!({"text": id});
    job
}

fn channel(destination: &RecordingDestination, recall: &str) -> HostileChannel {
    let channel = HostileChannel::new("write")
        .setting("target_url", &destination.url())
        .setting("recall", recall);
    channel
        .channel(FAST)
        .connection("allow_addresses = [\"127.0.0.1/32\"]")
}

async fn host(destination: &RecordingDestination, recall: &str) -> Result<TestHost> {
    hostile::start("", &[channel(destination, recall)]).await
}

/// The ended job, its events, and the results of its reconciliations.
async fn ended(host: &TestHost, execution: &Value) -> Result<(Value, Vec<Value>, Vec<Value>)> {
    let rest = host.rest()?;
    let done = follow::until_done(&rest, execution).await?;
    let job = follow::jobs(&rest, &done).await?.remove(0);
    let events = follow::events(&rest, &job).await?;
    let asked = events
        .iter()
        .filter(|event| event["stage"] == "reconciled")
        .map(|event| event["detail"]["arrived"].clone())
        .collect();
    Ok((job, events, asked))
}

async fn deliver(host: &TestHost, job: &Value) -> Result<(Value, Vec<Value>, Vec<Value>)> {
    let execution = follow::submit(&host.rest()?, job).await?;
    ended(host, &execution).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrived_write_succeeds_without_a_repeat() {
    let destination = RecordingDestination::start(&[Write::KeptUnanswered], Read::Truly)
        .await
        .unwrap();
    let host = host(&destination, "look").await.unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#} {events:#?}"
    );
    assert_eq!((destination.writes().len(), destination.reads()), (1, 1));
    assert_eq!(asked, [json!(true)], "{events:#?}");
    let read = events
        .iter()
        .find(|event| event["detail"]["method"] == "GET")
        .unwrap();
    assert_eq!(
        (&read["stage"], &read["http_status"]),
        (&json!("responded"), &json!(200)),
        "the history has the question"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_write_is_repeated_with_the_same_key() {
    let destination =
        RecordingDestination::start(&[Write::LostUnanswered, Write::LostUnanswered], Read::Truly)
            .await
            .unwrap();
    let host = host(&destination, "look").await.unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(3)),
        "{job:#} {events:#?}"
    );
    let writes = destination.writes();
    assert_eq!((writes.len(), destination.reads()), (3, 2));
    assert!(
        writes
            .iter()
            .all(|write| (&write.key, &write.body) == (&writes[0].key, &writes[0].body)),
        "{writes:?}"
    );
    assert_eq!(asked, [json!(false), json!(false)], "{events:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_guest_slot_suffices_to_ask_and_send() {
    let destination = RecordingDestination::start(&[Write::LostUnanswered], Read::Truly)
        .await
        .unwrap();
    let host = hostile::start(
        "[server.runtime]\nslots = 1\n",
        &[channel(&destination, "look")],
    )
    .await
    .unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    assert_eq!(
        (&job["state"], asked),
        (&json!("succeeded"), vec![json!(false)]),
        "{job:#} {events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_write_fails_after_its_last_attempt() {
    let destination = RecordingDestination::start(&[Write::LostUnanswered; 3], Read::Truly)
        .await
        .unwrap();
    let host = host(&destination, "look").await.unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    // The write is known to be missing, so the job is `failed`, not `unknown`.
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("failed"), &json!(3)),
        "{job:#} {events:#?}"
    );
    assert_eq!((destination.writes().len(), asked.len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_reconcile_falls_back_to_the_other_rules() {
    for (recall, read) in [
        ("look", Read::Status(500)),
        ("trap", Read::Truly),
        ("unsupported", Read::Truly),
        ("guess", Read::Truly),
    ] {
        let destination =
            RecordingDestination::start(&[Write::KeptUnanswered, Write::KeptUnanswered], read)
                .await
                .unwrap();
        let host = host(&destination, recall).await.unwrap();
        let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["problem"]["code"]),
            (&json!("unknown"), &json!("answer.lost")),
            "{recall}: {job:#}"
        );
        assert_eq!(
            (destination.writes().len(), asked),
            (1, vec![Value::Null]),
            "{recall}: {events:#?}"
        );
        // An idempotent action is repeated.
        let (job, events, asked) = deliver(&host, &upsert("write", "p1")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["attempts"]),
            (&json!("succeeded"), &json!(2)),
            "{recall}: {job:#}"
        );
        assert_eq!(
            (destination.writes().len(), asked),
            (3, vec![Value::Null]),
            "{recall}: {events:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_is_retried_after_a_transient_failure() {
    let destination = RecordingDestination::start(&[Write::KeptUnanswered], Read::Down(3600))
        .await
        .unwrap();
    let host = host(&destination, "look").await.unwrap();
    let rest = host.rest().unwrap();
    let execution = follow::submit(&rest, &create("n1")).await.unwrap();
    let job = follow::until_waits_for(&rest, &execution, "retry")
        .await
        .unwrap();
    // The attempt is the lost send; the wait is the `Retry-After` of the destination.
    assert_eq!(
        (&job["attempts"], &job["state"]),
        (&json!(1), &json!("waiting")),
        "{job:#}"
    );
    assert_eq!((destination.writes().len(), destination.reads()), (1, 1));
    let job = follow::jobs(&rest, &execution).await.unwrap().remove(0);
    let events = follow::events(&rest, &job).await.unwrap();
    assert!(
        events
            .iter()
            .any(|event| event["stage"] == "reconciled" && event["detail"]["arrived"].is_null()),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_comes_before_repeats_after_a_kill() {
    let destination = RecordingDestination::start(&[Write::Hold], Read::Truly)
        .await
        .unwrap();
    let mut host = host(&destination, "look").await.unwrap();
    let execution = follow::submit(&host.rest().unwrap(), &create("n1"))
        .await
        .unwrap();
    destination.until_written(1).await;
    host.kill9().await.unwrap();
    host.restart().await.unwrap();
    let (job, events, asked) = ended(&host, &execution).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#} {events:#?}"
    );
    assert_eq!(
        (destination.writes().len(), asked),
        (1, vec![json!(true)]),
        "{events:#?}"
    );
    assert!(
        events.iter().any(|event| event["stage"] == "recovered"),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_decision_stays_unknown_without_reconcile() {
    let host = hostile::start("", &[HostileChannel::new("accept")])
        .await
        .unwrap();
    let rest = host.rest().unwrap();
    let done = follow::submit_and_wait(&rest, &upsert("accept", "p1"))
        .await
        .unwrap();
    let job = follow::jobs(&rest, &done).await.unwrap().remove(0);
    assert_eq!(
        (&job["state"], &job["problem"]["code"]),
        (&json!("unknown"), &json!("accepted.no_poll")),
        "{job:#}"
    );
    assert!(
        job["problem"]["message"]
            .as_str()
            .is_some_and(|why| why.contains("feed-7")),
        "{job:#}"
    );
    // A user must find the outcome. Until then, the job blocks its key.
    let second = follow::submit(&rest, &upsert("accept", "p1"))
        .await
        .unwrap();
    follow::until_waits_for(&rest, &second, "blocked")
        .await
        .unwrap();
    assert_eq!(
        follow::submit_and_wait(&rest, &upsert("accept", "p2"))
            .await
            .unwrap()["counts"]["unknown"],
        1
    );
}
