//! `Retry-After` of a destination, and a host without a free slot.

use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::target::Target;
use serde_json::json;

use crate::harness::recording_destination::{Read, RecordingDestination, Write};

const LOOPBACK: &str = "allow_addresses = [\"127.0.0.1/32\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_delays_every_request() {
    let destination = RecordingDestination::start(&[Write::Down(3600)], Read::Truly)
        .await
        .unwrap();
    let channel = HostileChannel::new("write")
        .setting("target_url", &destination.url())
        .connection(LOOPBACK);
    let host = hostile::start("", &[channel]).await.unwrap();
    let rest = host.rest().unwrap();
    // The channel allows one attempt, and a `Retry-After` costs none.
    let first = follow::submit(&rest, &upsert("write", "p1")).await.unwrap();
    let job = follow::until_waits_for(&rest, &first, "limit")
        .await
        .unwrap();
    assert_eq!(
        (&job["attempts"], &job["problem"]["http_status"]),
        (&json!(0), &json!(503)),
        "{job:#}"
    );
    assert!(job["waiting"]["until"].is_string(), "{job:#}");
    let second = follow::submit(&rest, &upsert("write", "p2")).await.unwrap();
    follow::until_waits_for(&rest, &second, "limit")
        .await
        .unwrap();
    assert_eq!(
        destination.writes().len(),
        1,
        "no other request of the connection"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postponed_job_is_sent_when_due() {
    let destination = RecordingDestination::start(&[Write::Down(1)], Read::Truly)
        .await
        .unwrap();
    let channel = HostileChannel::new("write")
        .setting("target_url", &destination.url())
        .connection(LOOPBACK);
    let host = hostile::start("", &[channel]).await.unwrap();
    let done = follow::submit_and_wait(&host.rest().unwrap(), &upsert("write", "p1"))
        .await
        .unwrap();
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let writes = destination.writes();
    assert!(
        writes.len() == 2
            && writes[1]
                .after
                .checked_sub(writes[0].after)
                .unwrap()
                .as_millis()
                >= 1000,
        "{writes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_slot_costs_no_attempt_and_no_circuit() {
    let target = Target::start().await.unwrap();
    let holding = HostileChannel::new("reach")
        .setting("target_url", &target.url("/hold"))
        .connection(LOOPBACK);
    let hasty = HostileChannel::new("ok")
        .channel("retry = { attempts = 1 }\ncall_timeout_ms = 100\nrequest_timeout_ms = 100");
    // Probes are rare, so that an open circuit would stay open.
    let server = "[server.runtime]\nslots = 1\n[server.dispatch]\ncircuit_after = 1\n\
                  probe_min_ms = 3600000\nprobe_max_ms = 3600000\n";
    let host = hostile::start(server, &[holding, hasty]).await.unwrap();
    let rest = host.rest().unwrap();
    let first = follow::submit(&rest, &upsert("reach", "p1")).await.unwrap();
    target.until_arrived(1).await;
    let second = follow::submit(&rest, &upsert("ok", "p1")).await.unwrap();
    loop {
        let job = follow::jobs(&rest, &second).await.unwrap().remove(0);
        if job["problem"]["code"] == "runtime.no_slot" {
            break;
        }
        assert_ne!(job["state"], "failed", "{job:#}");
    }
    target.release();
    follow::until_done(&rest, &first).await.unwrap();
    let done = follow::until_done(&rest, &second).await.unwrap();
    let job = follow::jobs(&rest, &done).await.unwrap().remove(0);
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#}"
    );
}
