//! Order by reference: across requests, within a belt, by `depends_on`, and after a refusal by the
//! destination.

use serde_json::json;

use crate::harness::catalogue::BELTS;
use crate::harness::{Harness, Setup, category, category_job, expect_sum, subcategory};

async fn harness(channel: &str) -> Harness {
    Setup {
        channel: channel.to_owned(),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_is_sent_after_its_parent_within_a_belt() {
    let harness = harness(BELTS).await;
    let jobs = vec![
        category_job("leaf", &subcategory("leaf", "twig")),
        category_job("twig", &subcategory("twig", "root")),
        category_job("root", &category("root")),
    ];
    let execution = harness.bulk(json!({}), jobs).await.unwrap();
    harness.expect_all_succeeded(&execution, 3).await.unwrap();
    let order: Vec<_> = harness
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| write.id)
        .collect();
    assert_eq!(order, ["root", "twig", "leaf"]);
    assert_eq!(harness.shop.report().missing_reference, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_waits_for_a_parent_of_another_request() {
    let harness = harness(BELTS).await;
    // The parent waits for a missing brand, and the child waits for the parent.
    let mut root = category_job("root", &category("root"));
    root["depends_on"] = json!([{"type": "brand", "id": "b"}]);
    let parent = harness.submit(root).await.unwrap();
    harness.until_waits(&parent, "dependency").await.unwrap();
    let child = harness
        .submit(category_job("leaf", &subcategory("leaf", "root")))
        .await
        .unwrap();
    let job = harness.until_waits(&child, "dependency").await.unwrap();
    assert!(
        job["waiting"]["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("category:")),
        "wrong parent: {job}"
    );
    assert!(job["waiting"]["until"].is_string(), "{job}");
    harness
        .deliver(
            json!({"object_type": "brand", "object_ids": ["b"], "payload": {"name": {"en": "b"}}}),
        )
        .await
        .unwrap();
    harness.expect_all_succeeded(&parent, 1).await.unwrap();
    harness.expect_all_succeeded(&child, 1).await.unwrap();
    let order: Vec<_> = harness
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| write.id)
        .collect();
    assert_eq!(order, ["b", "root", "leaf"]);
    assert_eq!(harness.shop.report().missing_reference, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depends_on_waits_for_the_object() {
    let harness = harness("").await;
    let depends = |id: &str, on: &str| {
        let mut job = category_job(id, &category(id));
        job["depends_on"] = json!([{"type": "brand", "id": on}]);
        job
    };
    let brand = |id: &str| {
        let payload = json!({"name": {"en": id}});
        json!({"object_type": "brand", "object_ids": [id], "payload": payload})
    };
    let waits = harness.submit(depends("early", "b")).await.unwrap();
    harness.until_waits(&waits, "dependency").await.unwrap();
    assert_eq!(
        harness.deliver(brand("b")).await.unwrap()["state"],
        "succeeded"
    );
    harness.expect_all_succeeded(&waits, 1).await.unwrap();
    // The id map knows the brand.
    let goes = harness.deliver(depends("late", "b")).await.unwrap();
    assert_eq!(
        (
            &goes["state"],
            harness.stages(&goes, "rescheduled").await.unwrap()
        ),
        (&json!("succeeded"), 0),
        "{goes}"
    );
    let order: Vec<_> = harness
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| write.id)
        .collect();
    assert_eq!(order, ["b", "early", "late"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parent_wait_times_out() {
    let harness = harness("parent_wait_ms = 400\n").await;
    let mut job = category_job("c", &category("c"));
    job["depends_on"] = json!([{"type": "brand", "id": "never"}]);
    let job = harness.deliver(job).await.unwrap();
    assert_eq!(
        (&job["state"], &job["problem"]["code"]),
        (&json!("failed"), &json!("dependency_failed")),
        "{job}"
    );
    assert_eq!(job["attempts"], 0);
    assert!(harness.log.writes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_fails_with_its_only_parent() {
    let harness = harness("").await;
    let bad = category_job("root", &json!({"name": 7}));
    let execution = harness
        .bulk(
            json!({}),
            vec![category_job("leaf", &subcategory("leaf", "root")), bad],
        )
        .await
        .unwrap();
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    let jobs = harness.jobs(&execution).await.unwrap();
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["problem"]["code"]),
        (&json!("failed"), &json!("dependency_failed")),
        "{}",
        jobs[0]
    );
    assert_eq!(jobs[1]["state"], "rejected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reference_missing_at_the_destination_is_awaited() {
    let harness = harness("").await;
    let child = harness
        .submit(category_job("leaf", &subcategory("leaf", "root")))
        .await
        .unwrap();
    harness.until_waits(&child, "dependency").await.unwrap();
    assert_eq!(
        harness.shop.report().missing_reference,
        1,
        "the shop refused the child, because the host knew no parent"
    );
    harness
        .deliver(category_job("root", &category("root")))
        .await
        .unwrap();
    harness.expect_all_succeeded(&child, 1).await.unwrap();
    assert_eq!(
        harness.only_job(&child).await.unwrap()["attempts"],
        1,
        "the wait cost no attempt"
    );
    assert_eq!(harness.shop.report().missing_reference, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reference_circle_is_no_deadlock() {
    let harness = harness("").await;
    harness
        .deliver(category_job("a", &category("a")))
        .await
        .unwrap();
    harness
        .deliver(category_job("b", &category("b")))
        .await
        .unwrap();
    let jobs = vec![
        category_job("a", &subcategory("a below b", "b")),
        category_job("b", &subcategory("b below a", "a")),
    ];
    let execution = harness.bulk(json!({}), jobs).await.unwrap();
    harness.expect_all_succeeded(&execution, 2).await.unwrap();
}
