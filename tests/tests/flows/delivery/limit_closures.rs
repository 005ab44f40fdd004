//! Limits that a destination closes: for how long, and who reopens them.

use egression_tests::follow::{self, upsert};
use egression_tests::host::TestHost;
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::recording_destination::{Read, RecordingDestination, Write};
use crate::harness::{PATIENCE, instant};

const LOOPBACK: &str = "allow_addresses = [\"127.0.0.1/32\"]";
const MONTH_S: u64 = 30 * 86_400;

/// A host whose destination answered the first write with a `Retry-After` of a month.
struct Closed {
    destination: RecordingDestination,
    host: TestHost,
    rest: Rest,
    /// The execution whose job waits.
    waiting: Value,
}

async fn closed(channel: &str) -> Closed {
    let destination = RecordingDestination::start(&[Write::Down(MONTH_S)], Read::Truly)
        .await
        .unwrap();
    let channel = HostileChannel::new("write")
        .channel(&format!("retry = {{ attempts = 1 }}\n{channel}"))
        .setting("target_url", &destination.url())
        .connection(LOOPBACK);
    let host = hostile::start("", &[channel]).await.unwrap();
    let rest = host.rest().unwrap();
    let waiting = follow::submit(&rest, &upsert("write", "p1")).await.unwrap();
    Closed {
        destination,
        host,
        rest,
        waiting,
    }
}

impl Closed {
    async fn job(&self) -> Value {
        follow::until_waits_for(&self.rest, &self.waiting, "limit")
            .await
            .unwrap()
    }

    async fn limits(&self) -> Vec<Value> {
        let page: Value = self.rest.get("/v1/limits?channel=write").await.unwrap();
        page["items"].as_array().unwrap().clone()
    }

    async fn expect_delivered(&self) {
        let done = follow::until_done(&self.rest, &self.waiting).await.unwrap();
        assert_eq!(done["status"], "succeeded", "{done:#}");
        assert_eq!(self.destination.writes().len(), 2);
        assert!(
            self.limits()
                .await
                .iter()
                .all(|limit| limit["closed_until"].is_null() && limit["ends_by"].is_null()),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_limit_lasts_an_hour_and_a_person_reopens_it() {
    let closed = closed("").await;
    let job = closed.job().await;
    let waiting = &job["waiting"];
    let is_an_hour = |until: &Value| {
        let until = until.as_str().unwrap();
        until > instant(3_000_000).as_str() && until <= instant(3_601_000).as_str()
    };
    assert!(is_an_hour(&waiting["until"]), "{job:#}");
    assert_eq!(
        (&waiting["ends_by"]["who"], &waiting["ends_by"]["at"]),
        (&json!("time"), &waiting["until"]),
        "{job:#}"
    );
    let request = &waiting["ends_by"]["request"];
    let key = waiting["key"].as_str().unwrap();
    assert_eq!(
        waiting["ends_by"]["command"],
        format!("egression limit reopen {key}")
    );
    let shown = closed.limits().await;
    let limit = shown.iter().find(|limit| limit["key"] == key).unwrap();
    assert!(is_an_hour(&limit["closed_until"]), "{limit:#}");
    assert_eq!(limit["ends_by"]["request"], *request, "{limit:#}");
    assert_eq!(limit["waiting"], 1, "{limit:#}");

    let path = request["path"].as_str().unwrap();
    let act = |body: Value| {
        let request = closed.rest.request(Method::POST, path).json(&body);
        closed.rest.send(request)
    };
    let preview = act(json!({"dry_run": true})).await.unwrap();
    let preview = preview.expect(200).unwrap().json;
    assert_eq!(
        (&preview["jobs"], &preview["order"]),
        (&json!(1), &json!([job["id"]])),
        "{preview:#}"
    );
    assert_eq!(closed.destination.writes().len(), 1, "nothing changed");
    let reopened = act(json!({"reason": "the shop is back"})).await.unwrap();
    assert_eq!(
        reopened.expect(200).unwrap().json["closed_until"],
        Value::Null
    );
    closed.expect_delivered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passed_check_reopens_a_closed_limit() {
    let closed = closed("").await;
    closed.job().await;
    let path = "/v1/channels/write/connections/acme:check";
    let (status, check) = closed.rest.post(path, &json!({})).await.unwrap();
    assert_eq!((status.as_u16(), &check["works"]), (200, &json!(true)));
    closed.expect_delivered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_bounds_the_time_of_a_closed_limit() {
    let closed = closed("max_retry_after_ms = 500").await;
    closed.expect_delivered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_limit_of_an_earlier_run_reopens() {
    let mut closed = closed("").await;
    closed.job().await;
    closed.host.stop(PATIENCE).await.unwrap();
    closed.host.restart().await.unwrap();
    closed.rest = closed.host.rest().unwrap();
    let job = closed.job().await;
    let until = job["waiting"]["until"].as_str().unwrap();
    assert!(until <= instant(3_601_000).as_str(), "{job:#}");
    let path = job["waiting"]["ends_by"]["request"]["path"]
        .as_str()
        .unwrap();
    let answer = closed.rest.send(closed.rest.request(Method::POST, path));
    answer.await.unwrap().expect(200).unwrap();
    closed.expect_delivered().await;
}
