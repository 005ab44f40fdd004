//! Answers that are lost, where the connector can be asked whether the send arrived.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel};
use serde_json::{Value, json};

use crate::keeper::{Keeper, Read, Write};

const FAST: &str = "retry = { base_ms = 1, max_ms = 1, attempts = 3 }";

/// A create of a notice, which cannot be repeated without harm.
fn create(id: &str) -> Value {
    let mut job = upsert("write", id);
    (job["action"], job["object_type"]) = ("create".into(), "notice".into());
    job["payload"] = json!({"text": id});
    job
}

fn channel(keeper: &Keeper, recall: &str) -> HostileChannel {
    let channel = HostileChannel::new("write")
        .setting("target_url", &keeper.url())
        .setting("recall", recall);
    channel
        .channel(FAST)
        .connection("allow_addresses = [\"127.0.0.1/32\"]")
}

async fn host(keeper: &Keeper, recall: &str) -> Result<TestHost> {
    hostile::start("", &[channel(keeper, recall)]).await
}

/// The job once it ended, with what it was told of being asked for.
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
async fn what_arrived_although_its_answer_was_lost_succeeds_without_a_second_write() {
    let keeper = Keeper::start(&[Write::KeptUnanswered], Read::Truly)
        .await
        .unwrap();
    let host = host(&keeper, "look").await.unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#} {events:#?}"
    );
    assert_eq!((keeper.writes().len(), keeper.reads()), (1, 1));
    assert_eq!(asked, [json!(true)], "{events:#?}");
    let read = events
        .iter()
        .find(|event| event["detail"]["method"] == "GET")
        .unwrap();
    assert_eq!(
        (&read["stage"], &read["http_status"]),
        (&json!("responded"), &json!(200)),
        "the question is in the history"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_arrive_is_sent_again_under_the_same_key_although_the_action_is_not_idempotent()
 {
    let keeper = Keeper::start(&[Write::LostUnanswered, Write::LostUnanswered], Read::Truly)
        .await
        .unwrap();
    let host = host(&keeper, "look").await.unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(3)),
        "{job:#} {events:#?}"
    );
    let writes = keeper.writes();
    assert_eq!((writes.len(), keeper.reads()), (3, 2));
    assert!(
        writes
            .iter()
            .all(|write| (&write.key, &write.body) == (&writes[0].key, &writes[0].body)),
        "{writes:?}"
    );
    assert_eq!(asked, [json!(false), json!(false)], "{events:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_room_for_one_guest_asks_and_sends() {
    let keeper = Keeper::start(&[Write::LostUnanswered], Read::Truly)
        .await
        .unwrap();
    let host = hostile::start("[server.runtime]\nslots = 1\n", &[channel(&keeper, "look")])
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
async fn what_never_arrives_fails_when_its_attempts_are_used_up() {
    let keeper = Keeper::start(&[Write::LostUnanswered; 3], Read::Truly)
        .await
        .unwrap();
    let host = host(&keeper, "look").await.unwrap();
    let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
    // Known not to be there, so it is `failed` and not `unknown`.
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("failed"), &json!(3)),
        "{job:#} {events:#?}"
    );
    assert_eq!((keeper.writes().len(), asked.len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_to_the_question_the_other_rules_hold() {
    for (recall, read) in [
        ("look", Read::Status(500)),
        ("trap", Read::Truly),
        ("unsupported", Read::Truly),
        ("guess", Read::Truly),
    ] {
        let keeper = Keeper::start(&[Write::KeptUnanswered, Write::KeptUnanswered], read)
            .await
            .unwrap();
        let host = host(&keeper, recall).await.unwrap();
        let (job, events, asked) = deliver(&host, &create("n1")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["problem"]["code"]),
            (&json!("unknown"), &json!("answer.lost")),
            "{recall}: {job:#}"
        );
        assert_eq!(
            (keeper.writes().len(), asked),
            (1, vec![Value::Null]),
            "{recall}: {events:#?}"
        );
        // An idempotent action is repeated all the same.
        let (job, events, asked) = deliver(&host, &upsert("write", "p1")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["attempts"]),
            (&json!("succeeded"), &json!(2)),
            "{recall}: {job:#}"
        );
        assert_eq!(
            (keeper.writes().len(), asked),
            (3, vec![Value::Null]),
            "{recall}: {events:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_cannot_be_answered_now_waits_and_is_asked_again() {
    let keeper = Keeper::start(&[Write::KeptUnanswered], Read::Down(3600))
        .await
        .unwrap();
    let host = host(&keeper, "look").await.unwrap();
    let rest = host.rest().unwrap();
    let execution = follow::submit(&rest, &create("n1")).await.unwrap();
    let job = follow::until_waits_for(&rest, &execution, "retry")
        .await
        .unwrap();
    // The attempt is that of the lost send; the wait is the one that the destination asked for.
    assert_eq!(
        (&job["attempts"], &job["state"]),
        (&json!(1), &json!("waiting")),
        "{job:#}"
    );
    assert_eq!((keeper.writes().len(), keeper.reads()), (1, 1));
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
async fn after_a_kill_the_connector_is_asked_before_anything_is_repeated() {
    let keeper = Keeper::start(&[Write::Hold], Read::Truly).await.unwrap();
    let mut host = host(&keeper, "look").await.unwrap();
    let execution = follow::submit(&host.rest().unwrap(), &create("n1"))
        .await
        .unwrap();
    keeper.until_written(1).await;
    host.kill9().await.unwrap();
    host.restart().await.unwrap();
    let (job, events, asked) = ended(&host, &execution).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#} {events:#?}"
    );
    assert_eq!(
        (keeper.writes().len(), asked),
        (1, vec![json!(true)]),
        "{events:#?}"
    );
    assert!(
        events.iter().any(|event| event["stage"] == "recovered"),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_destination_decides_later_is_unknown_as_long_as_nobody_asks_it() {
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
    // What became of it is a person's to find out, and nothing of its key goes before.
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
