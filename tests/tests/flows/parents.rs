//! Order by reference: across requests, inside a belt, by `depends_on`, and by the destination's
//! word.

use serde_json::json;

use crate::catalogue::BELTS;
use crate::rig::{Layout, Rig, category, category_job, expect_sum, subcategory};

async fn rig(channel: &str) -> Rig {
    Layout {
        channel: channel.to_owned(),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_before_its_parent_in_one_belt_comes_after_it() {
    let rig = rig(BELTS).await;
    let jobs = vec![
        category_job("leaf", &subcategory("leaf", "twig")),
        category_job("twig", &subcategory("twig", "root")),
        category_job("root", &category("root")),
    ];
    let execution = rig.bulk(json!({}), jobs).await.unwrap();
    rig.expect_all_succeeded(&execution, 3).await.unwrap();
    let order: Vec<_> = rig
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| write.id)
        .collect();
    assert_eq!(order, ["root", "twig", "leaf"]);
    assert_eq!(rig.shop.report().missing_reference, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_waits_for_the_job_of_another_request() {
    let rig = rig(BELTS).await;
    // The parent's job waits for a brand that is not there yet, its child for the parent.
    let mut root = category_job("root", &category("root"));
    root["depends_on"] = json!([{"type": "brand", "id": "b"}]);
    let parent = rig.submit(root).await.unwrap();
    rig.until_waits(&parent, "dependency").await.unwrap();
    let child = rig
        .submit(category_job("leaf", &subcategory("leaf", "root")))
        .await
        .unwrap();
    let job = rig.until_waits(&child, "dependency").await.unwrap();
    assert!(
        job["waiting"]["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("category:")),
        "the object that it waits for: {job}"
    );
    assert!(job["waiting"]["until"].is_string(), "{job}");
    rig.deliver(
        json!({"object_type": "brand", "object_ids": ["b"], "payload": {"name": {"en": "b"}}}),
    )
    .await
    .unwrap();
    rig.expect_all_succeeded(&parent, 1).await.unwrap();
    rig.expect_all_succeeded(&child, 1).await.unwrap();
    let order: Vec<_> = rig
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| write.id)
        .collect();
    assert_eq!(order, ["b", "root", "leaf"]);
    assert_eq!(rig.shop.report().missing_reference, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depends_on_waits_until_the_object_is_there() {
    let rig = rig("").await;
    let depends = |id: &str, on: &str| {
        let mut job = category_job(id, &category(id));
        job["depends_on"] = json!([{"type": "brand", "id": on}]);
        job
    };
    let brand = |id: &str| json!({"object_type": "brand", "object_ids": [id], "payload": {"name": {"en": id}}});
    let waits = rig.submit(depends("early", "b")).await.unwrap();
    rig.until_waits(&waits, "dependency").await.unwrap();
    assert_eq!(rig.deliver(brand("b")).await.unwrap()["state"], "succeeded");
    rig.expect_all_succeeded(&waits, 1).await.unwrap();
    // The id map knows the brand by now.
    let goes = rig.deliver(depends("late", "b")).await.unwrap();
    assert_eq!(
        (
            &goes["state"],
            rig.stages(&goes, "rescheduled").await.unwrap()
        ),
        (&json!("succeeded"), 0),
        "{goes}"
    );
    let order: Vec<_> = rig
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
async fn a_wait_for_a_parent_ends() {
    let rig = rig("parent_wait_ms = 400\n").await;
    let mut job = category_job("c", &category("c"));
    job["depends_on"] = json!([{"type": "brand", "id": "never"}]);
    let job = rig.deliver(job).await.unwrap();
    assert_eq!(
        (&job["state"], &job["problem"]["code"]),
        (&json!("failed"), &json!("dependency_failed")),
        "{job}"
    );
    assert_eq!(job["attempts"], 0);
    assert!(rig.log.writes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_fails_at_once_with_its_only_parent() {
    let rig = rig("").await;
    let bad = category_job("root", &json!({"name": 7}));
    let execution = rig
        .bulk(
            json!({}),
            vec![category_job("leaf", &subcategory("leaf", "root")), bad],
        )
        .await
        .unwrap();
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    let jobs = rig.jobs(&execution).await.unwrap();
    assert_eq!(
        (&jobs[0]["state"], &jobs[0]["problem"]["code"]),
        (&json!("failed"), &json!("dependency_failed")),
        "{}",
        jobs[0]
    );
    assert_eq!(jobs[1]["state"], "rejected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_destination_misses_is_waited_for() {
    let rig = rig("").await;
    let child = rig
        .submit(category_job("leaf", &subcategory("leaf", "root")))
        .await
        .unwrap();
    rig.until_waits(&child, "dependency").await.unwrap();
    assert_eq!(
        rig.shop.report().missing_reference,
        1,
        "the hub knew of no job of the parent, the shop refused"
    );
    rig.deliver(category_job("root", &category("root")))
        .await
        .unwrap();
    rig.expect_all_succeeded(&child, 1).await.unwrap();
    assert_eq!(
        rig.only_job(&child).await.unwrap()["attempts"],
        1,
        "the wait spent none"
    );
    assert_eq!(rig.shop.report().missing_reference, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_references_is_no_deadlock() {
    let rig = rig("").await;
    rig.deliver(category_job("a", &category("a")))
        .await
        .unwrap();
    rig.deliver(category_job("b", &category("b")))
        .await
        .unwrap();
    let jobs = vec![
        category_job("a", &subcategory("a below b", "b")),
        category_job("b", &subcategory("b below a", "a")),
    ];
    let execution = rig.bulk(json!({}), jobs).await.unwrap();
    rig.expect_all_succeeded(&execution, 2).await.unwrap();
}
