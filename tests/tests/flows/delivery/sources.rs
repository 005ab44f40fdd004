//! Sources: a faulty source never leads to an empty body at a destination.

use std::net::SocketAddr;

use egression_sandbox::{Faults, Scenario};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::faulty_source::{Behavior, FaultySource};
use crate::harness::{FAST_RETRY, Harness, SOURCE_TOKEN, Setup, source};
use egression_tests::source::MetadataApi;

const QUICK: &str = "[server.resolver]\nretry_base_ms = 100\nretry_max_ms = 300\n";

async fn harness(url: &str, more: &str) -> Harness {
    Setup {
        server: QUICK.to_owned(),
        more: source(url, more),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap()
}

fn job(id: &str) -> Value {
    json!({"source": "pim", "object_type": "category", "object_ids": [id]})
}

async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unavailable_source_is_awaited() {
    let address = closed_port().await;
    let harness = harness(&format!("http://{address}"), "").await;
    let execution = harness.submit(job("c")).await.unwrap();
    let waits = harness.until_waits(&execution, "source").await.unwrap();
    assert_eq!(waits["waiting"]["key"], "pim", "{waits}");
    assert_eq!(
        (&waits["attempts"], &waits["problem"]["code"]),
        (&json!(0), &json!("source.unreachable")),
        "{waits}"
    );
    assert!(waits["waiting"]["until"].is_string(), "{waits}");
    let _api = FaultySource::start_on(address, Behavior::Good(1, "there"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    assert_eq!(harness.only_job(&execution).await.unwrap()["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_source_is_awaited() {
    let api = FaultySource::start(Behavior::Silent).await.unwrap();
    let harness = harness(&api.url(), "timeout_ms = 200").await;
    let execution = harness.submit(job("c")).await.unwrap();
    harness.until_waits(&execution, "source").await.unwrap();
    assert!(harness.log.writes().await.unwrap().is_empty());
    api.behave(Behavior::Good(1, "at last"));
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_object_is_rejected() {
    let api = FaultySource::start(Behavior::Status(404)).await.unwrap();
    let harness = harness(&api.url(), "max_object_bytes = 1048576").await;
    let huge = format!(
        r#"{{"id":"c","type":"category","revision":1,"body":{{"name":{{"en":"{}"}}}}}}"#,
        "x".repeat(5 * 1024 * 1024)
    );
    let answers = [
        (Behavior::Status(404), "source.not_found"),
        (Behavior::Status(400), "source.status"),
        (
            Behavior::Text(r#"{"id":"c","type":"category","revision":1,"body":null}"#.to_owned()),
            "source.unexpected_answer",
        ),
        (
            Behavior::Text(r#"{"id":"other","type":"category","revision":1,"body":{}}"#.to_owned()),
            "source.unexpected_answer",
        ),
        (
            Behavior::Text(r#"{"id":"c","type":"category","revision":1,"body":{}}"#.to_owned()),
            "body.schema",
        ),
        (Behavior::Text(huge), "source.too_large"),
    ];
    for (behavior, code) in answers {
        api.behave(behavior.clone());
        let job = harness.deliver(job("c")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["problem"]["code"]),
            (&json!("rejected"), &json!(code)),
            "{:.80} {job}",
            format!("{behavior:?}")
        );
    }
    assert!(
        harness.log.writes().await.unwrap().is_empty(),
        "nothing was sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_source_answer_is_awaited() {
    let api = FaultySource::start(Behavior::Status(204)).await.unwrap();
    let harness = harness(&api.url(), "").await;
    let text = |text: &str| Behavior::Text(text.to_owned());
    let answers = [
        (Behavior::Status(204), "source.status"),
        (Behavior::Status(302), "source.status"),
        (Behavior::Status(405), "source.status"),
        (text("{\"hello\":\"world\"}"), "source.no_answer"),
        (text(""), "source.no_answer"),
        (text("<html></html>"), "source.no_answer"),
    ];
    for (behavior, code) in answers {
        api.behave(behavior.clone());
        // The host reads one object with a single read and two with a batch read. An invalid answer
        // rejects no job.
        let single = harness.submit(job("c")).await.unwrap();
        let two = harness
            .bulk(
                json!({}),
                vec![json!({"source": "pim", "object_type": "category", "object_ids": ["a", "b"]})],
            )
            .await
            .unwrap();
        harness
            .until(&single, |view| crate::harness::waiting(view, "source") == 1)
            .await
            .unwrap();
        harness
            .until(&two, |view| crate::harness::waiting(view, "source") == 2)
            .await
            .unwrap();
        let waits = harness.only_job(&single).await.unwrap();
        let said = waits["problem"]["code"].as_str().unwrap_or_default();
        assert!(
            [code, "source.circuit_open"].contains(&said),
            "{behavior:?} {waits}"
        );
        api.behave(Behavior::Good(1, "well again"));
        harness.expect_all_succeeded(&single, 1).await.unwrap();
        harness.expect_all_succeeded(&two, 2).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_outage_writes_few_events() {
    let api = FaultySource::start(Behavior::Status(500)).await.unwrap();
    let harness = harness(&api.url(), "").await;
    let execution = harness.submit(job("c")).await.unwrap();
    // A single job is the one that probes the source each time.
    harness
        .until(&execution, |_| api.requests() >= 8)
        .await
        .unwrap();
    api.behave(Behavior::Good(1, "well again"));
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    let job = harness.only_job(&execution).await.unwrap();
    let events = harness.events(&job).await.unwrap();
    let waits: Vec<_> = events
        .iter()
        .filter(|event| event["stage"] == "rescheduled")
        .map(|event| event["detail"]["problem"]["code"].clone())
        .collect();
    assert!(
        !waits.is_empty() && waits.windows(2).all(|two| two[0] != two[1]),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_revision_is_superseded() {
    let api = FaultySource::start(Behavior::Good(5, "new")).await.unwrap();
    let harness = harness(&api.url(), "").await;
    assert_eq!(
        harness.deliver(job("c")).await.unwrap()["state"],
        "succeeded"
    );
    api.behave(Behavior::Good(3, "old"));
    let older = harness.deliver(job("c")).await.unwrap();
    assert_eq!(older["state"], "superseded", "{older}");
    assert_eq!(harness.log.writes().await.unwrap().len(), 1);
    api.behave(Behavior::Good(6, "newest"));
    assert_eq!(
        harness.deliver(job("c")).await.unwrap()["state"],
        "succeeded"
    );
    assert_eq!(
        harness.log.objects().await.unwrap()[0].body["name"]["en"],
        "c newest"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_batched_across_jobs() {
    let objects = crate::harness::catalogue::things(100)
        .into_iter()
        .filter(|thing| thing.object_type == "brand")
        .map(|thing| thing.at_source(1));
    let api = MetadataApi::start(objects, SOURCE_TOKEN).await.unwrap();
    let harness = harness(&api.url(), "").await;
    let ids: Vec<_> = (0..10).map(|n| format!("b{n}")).collect();
    let brands = json!({"source": "pim", "object_type": "brand", "object_ids": ids});
    let execution = harness.bulk(json!({}), vec![brands]).await.unwrap();
    harness.expect_all_succeeded(&execution, 10).await.unwrap();
    let (requests, reads) = api.asked();
    assert_eq!(reads, 10);
    assert!(requests <= 2, "{requests} requests for 10 objects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_batch_is_read_in_halves() {
    let thing = |name: &str, id: &str| crate::harness::catalogue::Thing {
        object_type: "brand",
        id: id.to_owned(),
        body: json!({"name": {"en": name}}),
    };
    let mut brands: Vec<_> = (0..10)
        .map(|n| thing(&"x".repeat(1000), &format!("b{n}")))
        .collect();
    brands.push(thing(&"x".repeat(10_000), "huge"));
    let api = MetadataApi::start(brands.iter().map(|brand| brand.at_source(1)), SOURCE_TOKEN)
        .await
        .unwrap();
    let server = format!("{QUICK}[server.gate]\nmax_response_bytes = 5000\n");
    let harness = Setup {
        server,
        more: source(&api.url(), ""),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let ids: Vec<_> = brands.iter().map(|brand| brand.id.as_str()).collect();
    let execution = harness
        .bulk(
            json!({}),
            vec![json!({"source": "pim", "object_type": "brand", "object_ids": ids})],
        )
        .await
        .unwrap();
    let view = harness.done(&execution).await.unwrap();
    assert_eq!(
        (&view["counts"]["succeeded"], &view["counts"]["rejected"]),
        (&json!(10), &json!(1)),
        "{view}"
    );
    assert_eq!(view["errors"][0]["code"], "source.too_large", "{view}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_batch_endpoint_is_a_source_failure() {
    let api = FaultySource::start(Behavior::Status(404)).await.unwrap();
    let harness = harness(&api.url(), "").await;
    let execution = harness
        .bulk(
            json!({}),
            vec![json!({"source": "pim", "object_type": "category", "object_ids": ["a", "b"]})],
        )
        .await
        .unwrap();
    harness
        .until(&execution, |view| {
            crate::harness::waiting(view, "source") == 2
        })
        .await
        .unwrap();
    api.behave(Behavior::Good(1, "there after all"));
    harness.expect_all_succeeded(&execution, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_has_its_own_limit_and_circuit() {
    let api = FaultySource::start(Behavior::Status(500)).await.unwrap();
    let harness = harness(
        &api.url(),
        "max_batch = 1\nlimits = [{ kind = \"concurrency\", max = 2 }]",
    )
    .await;
    let ids: Vec<_> = (0..60).map(|n| format!("c{n}")).collect();
    let jobs = ids.iter().map(|id| job(id)).collect();
    let execution = harness.bulk(json!({}), jobs).await.unwrap();
    harness
        .until(&execution, |_| api.requests() >= 6)
        .await
        .unwrap();
    // The outage does not delay jobs with an inline body.
    let inline = harness
        .deliver(crate::harness::category_job(
            "inline",
            &crate::harness::category("inline"),
        ))
        .await
        .unwrap();
    assert_eq!(inline["state"], "succeeded");
    let while_down = api.requests();
    assert!(
        while_down < 60,
        "too many requests during the outage: {while_down}"
    );
    api.behave(Behavior::Good(1, "well again"));
    harness.expect_all_succeeded(&execution, 60).await.unwrap();
    assert!(api.at_once() <= 2, "{} requests at once", api.at_once());
    assert_eq!(harness.shop.report().objects["category"], 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeat_sends_the_bytes_of_the_first_send() {
    let api = FaultySource::start(Behavior::Good(1, "first"))
        .await
        .unwrap();
    let faults = Faults {
        drop_after_write: 1.0,
        ..Faults::default()
    };
    let scenario = Scenario {
        faults,
        ..Scenario::default()
    };
    let harness = Setup {
        scenario,
        channel: FAST_RETRY.to_owned(),
        more: source(&api.url(), ""),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let execution = harness.submit(job("c")).await.unwrap();
    harness
        .until(&execution, |_| harness.shop.report().dropped_calls == 1)
        .await
        .unwrap();
    api.behave(Behavior::Good(2, "second"));
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    assert_eq!(
        harness.log.objects().await.unwrap()[0].body["name"]["en"],
        "c first"
    );
    let report = harness.shop.report();
    assert_eq!(
        (report.repeated_same_key, report.repeated_other_key),
        (1, 0),
        "{report:?}"
    );
}
