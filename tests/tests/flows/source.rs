//! The source: what is wrong there never becomes an empty body at a destination.

use std::net::SocketAddr;

use egression_sandbox::{Faults, Scenario};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::rig::{FAST_RETRY, Layout, Rig, SOURCE_TOKEN, source};
use crate::wayward::{Manner, Wayward};
use egression_tests::source::MetadataApi;

const QUICK: &str = "[server.resolver]\nretry_base_ms = 100\nretry_max_ms = 300\n";

async fn rig(url: &str, more: &str) -> Rig {
    Layout {
        server: QUICK.to_owned(),
        more: source(url, more),
        ..Layout::default()
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
async fn a_source_that_is_down_is_waited_for() {
    let address = closed_port().await;
    let rig = rig(&format!("http://{address}"), "").await;
    let execution = rig.submit(job("c")).await.unwrap();
    let waits = rig.until_waits(&execution, "source").await.unwrap();
    assert_eq!(waits["waiting"]["key"], "pim", "{waits}");
    assert_eq!(
        (&waits["attempts"], &waits["problem"]["code"]),
        (&json!(0), &json!("source.unreachable")),
        "{waits}"
    );
    assert!(waits["waiting"]["until"].is_string(), "{waits}");
    let _api = Wayward::start_on(address, Manner::Good(1, "there"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
    assert_eq!(rig.only_job(&execution).await.unwrap()["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_source_is_waited_for() {
    let api = Wayward::start(Manner::Silent).await.unwrap();
    let rig = rig(&api.url(), "timeout_ms = 200").await;
    let execution = rig.submit(job("c")).await.unwrap();
    rig.until_waits(&execution, "source").await.unwrap();
    assert!(rig.log.writes().await.unwrap().is_empty());
    api.behave(Manner::Good(1, "at last"));
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_object_is_rejected() {
    let api = Wayward::start(Manner::Status(404)).await.unwrap();
    let rig = rig(&api.url(), "max_object_bytes = 1048576").await;
    let huge = format!(
        r#"{{"id":"c","type":"category","revision":1,"body":{{"name":{{"en":"{}"}}}}}}"#,
        "x".repeat(5 * 1024 * 1024)
    );
    let answers = [
        (Manner::Status(404), "source.not_found"),
        (Manner::Status(400), "source.status"),
        (
            Manner::Text(r#"{"id":"c","type":"category","revision":1,"body":null}"#.to_owned()),
            "source.unexpected_answer",
        ),
        (
            Manner::Text(r#"{"id":"other","type":"category","revision":1,"body":{}}"#.to_owned()),
            "source.unexpected_answer",
        ),
        (
            Manner::Text(r#"{"id":"c","type":"category","revision":1,"body":{}}"#.to_owned()),
            "body.schema",
        ),
        (Manner::Text(huge), "source.too_large"),
    ];
    for (manner, code) in answers {
        api.behave(manner.clone());
        let job = rig.deliver(job("c")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["problem"]["code"]),
            (&json!("rejected"), &json!(code)),
            "{:.80} {job}",
            format!("{manner:?}")
        );
    }
    assert!(
        rig.log.writes().await.unwrap().is_empty(),
        "nothing was sent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_answer_of_a_source_is_waited_for() {
    let api = Wayward::start(Manner::Status(204)).await.unwrap();
    let rig = rig(&api.url(), "").await;
    let text = |text: &str| Manner::Text(text.to_owned());
    let answers = [
        (Manner::Status(204), "source.status"),
        (Manner::Status(302), "source.status"),
        (Manner::Status(405), "source.status"),
        (text("{\"hello\":\"world\"}"), "source.no_answer"),
        (text(""), "source.no_answer"),
        (text("<html></html>"), "source.no_answer"),
    ];
    for (manner, code) in answers {
        api.behave(manner.clone());
        // One object is read singly, two in a batch; a page in the place of the source rejects
        // neither.
        let single = rig.submit(job("c")).await.unwrap();
        let two = rig
            .bulk(
                json!({}),
                vec![json!({"source": "pim", "object_type": "category", "object_ids": ["a", "b"]})],
            )
            .await
            .unwrap();
        rig.until(&single, |view| crate::rig::waiting(view, "source") == 1)
            .await
            .unwrap();
        rig.until(&two, |view| crate::rig::waiting(view, "source") == 2)
            .await
            .unwrap();
        let waits = rig.only_job(&single).await.unwrap();
        let said = waits["problem"]["code"].as_str().unwrap_or_default();
        assert!(
            [code, "source.circuit_open"].contains(&said),
            "{manner:?} {waits}"
        );
        api.behave(Manner::Good(1, "well again"));
        rig.expect_all_succeeded(&single, 1).await.unwrap();
        rig.expect_all_succeeded(&two, 2).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_outage_writes_no_history_by_the_minute() {
    let api = Wayward::start(Manner::Status(500)).await.unwrap();
    let rig = rig(&api.url(), "").await;
    let execution = rig.submit(job("c")).await.unwrap();
    // Alone it is the one that tries, each time.
    rig.until(&execution, |_| api.requests() >= 8)
        .await
        .unwrap();
    api.behave(Manner::Good(1, "well again"));
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
    let job = rig.only_job(&execution).await.unwrap();
    let events = rig.events(&job).await.unwrap();
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
async fn an_older_revision_is_superseded() {
    let api = Wayward::start(Manner::Good(5, "new")).await.unwrap();
    let rig = rig(&api.url(), "").await;
    assert_eq!(rig.deliver(job("c")).await.unwrap()["state"], "succeeded");
    api.behave(Manner::Good(3, "old"));
    let older = rig.deliver(job("c")).await.unwrap();
    assert_eq!(older["state"], "superseded", "{older}");
    assert_eq!(rig.log.writes().await.unwrap().len(), 1);
    api.behave(Manner::Good(6, "newest"));
    assert_eq!(rig.deliver(job("c")).await.unwrap()["state"], "succeeded");
    assert_eq!(
        rig.log.objects().await.unwrap()[0].body["name"]["en"],
        "c newest"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_in_batches_shared_by_jobs() {
    let objects = crate::catalogue::things(100)
        .into_iter()
        .filter(|thing| thing.object_type == "brand")
        .map(|thing| thing.at_source(1));
    let api = MetadataApi::start(objects, SOURCE_TOKEN).await.unwrap();
    let rig = rig(&api.url(), "").await;
    let ids: Vec<_> = (0..10).map(|n| format!("b{n}")).collect();
    let brands = json!({"source": "pim", "object_type": "brand", "object_ids": ids});
    let execution = rig.bulk(json!({}), vec![brands]).await.unwrap();
    rig.expect_all_succeeded(&execution, 10).await.unwrap();
    let (requests, reads) = api.asked();
    assert_eq!(reads, 10);
    assert!(requests <= 2, "{requests} requests for 10 objects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_longer_than_an_answer_may_be_is_read_in_halves() {
    let thing = |name: &str, id: &str| crate::catalogue::Thing {
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
    let rig = Layout {
        server,
        more: source(&api.url(), ""),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let ids: Vec<_> = brands.iter().map(|brand| brand.id.as_str()).collect();
    let execution = rig
        .bulk(
            json!({}),
            vec![json!({"source": "pim", "object_type": "brand", "object_ids": ids})],
        )
        .await
        .unwrap();
    let view = rig.done(&execution).await.unwrap();
    assert_eq!(
        (&view["counts"]["succeeded"], &view["counts"]["rejected"]),
        (&json!(10), &json!(1)),
        "{view}"
    );
    assert_eq!(view["errors"][0]["code"], "source.too_large", "{view}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_endpoint_that_is_not_there_is_a_source_that_does_not_work() {
    let api = Wayward::start(Manner::Status(404)).await.unwrap();
    let rig = rig(&api.url(), "").await;
    let execution = rig
        .bulk(
            json!({}),
            vec![json!({"source": "pim", "object_type": "category", "object_ids": ["a", "b"]})],
        )
        .await
        .unwrap();
    rig.until(&execution, |view| crate::rig::waiting(view, "source") == 2)
        .await
        .unwrap();
    api.behave(Manner::Good(1, "there after all"));
    rig.expect_all_succeeded(&execution, 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_has_its_own_limit_and_circuit() {
    let api = Wayward::start(Manner::Status(500)).await.unwrap();
    let rig = rig(
        &api.url(),
        "max_batch = 1\nlimits = [{ kind = \"concurrency\", max = 2 }]",
    )
    .await;
    let ids: Vec<_> = (0..60).map(|n| format!("c{n}")).collect();
    let jobs = ids.iter().map(|id| job(id)).collect();
    let execution = rig.bulk(json!({}), jobs).await.unwrap();
    rig.until(&execution, |_| api.requests() >= 6)
        .await
        .unwrap();
    // Jobs with a body of their own are not held up by it.
    let inline = rig
        .deliver(crate::rig::category_job(
            "inline",
            &crate::rig::category("inline"),
        ))
        .await
        .unwrap();
    assert_eq!(inline["state"], "succeeded");
    let while_down = api.requests();
    assert!(
        while_down < 60,
        "the circuit spares the source: {while_down} requests"
    );
    api.behave(Manner::Good(1, "well again"));
    rig.expect_all_succeeded(&execution, 60).await.unwrap();
    assert!(api.at_once() <= 2, "{} requests at once", api.at_once());
    assert_eq!(rig.shop.report().objects["category"], 61);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_has_the_bytes_of_the_first_send_whatever_the_source_says_now() {
    let api = Wayward::start(Manner::Good(1, "first")).await.unwrap();
    let faults = Faults {
        drop_after_write: 1.0,
        ..Faults::default()
    };
    let scenario = Scenario {
        faults,
        ..Scenario::default()
    };
    let rig = Layout {
        scenario,
        channel: FAST_RETRY.to_owned(),
        more: source(&api.url(), ""),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let execution = rig.submit(job("c")).await.unwrap();
    rig.until(&execution, |_| rig.shop.report().dropped_calls == 1)
        .await
        .unwrap();
    api.behave(Manner::Good(2, "second"));
    rig.expect_all_succeeded(&execution, 1).await.unwrap();
    assert_eq!(
        rig.log.objects().await.unwrap()[0].body["name"]["en"],
        "c first"
    );
    let report = rig.shop.report();
    assert_eq!(
        (report.repeated_same_key, report.repeated_other_key),
        (1, 0),
        "{report:?}"
    );
}
