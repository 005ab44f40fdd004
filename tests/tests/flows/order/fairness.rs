//! A large bulk delays neither another tenant nor a single job of the same tenant.

use egression_sandbox::Scenario;
use serde_json::json;

use crate::harness::{CHANNEL, Setup, category, category_job, connection};
use egression_sandbox::Shop;

const BULK: usize = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_alternates_with_single_jobs() {
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let ends = connection(&format!("http://{}", shop.addr()), "single", false);
    let harness = Setup {
        mode: "single",
        // One limit for all tenants, so that they compete for it.
        channel: "max_items = 1\nlimits = [\
                  { kind = \"token_bucket\", scope = \"channel\", rate = 250, burst = 10 }]\n"
            .to_owned(),
        more: format!(
            "[[subscriptions]]\nname = \"other\"\n\
             [[connections]]\nsubscription = \"other\"\nchannel = \"{CHANNEL}\"\n{ends}"
        ),
        ..Setup::default()
    }
    .start_with(shop)
    .await
    .unwrap();
    let bulk = (0..BULK)
        .map(|n| category_job(&format!("c{n}"), &category("bulk")))
        .collect();
    let bulk = harness.bulk(json!({}), bulk).await.unwrap();
    harness
        .until(&bulk, |view| {
            view["counts"]["succeeded"].as_u64() > Some(50)
        })
        .await
        .unwrap();

    let before = harness.log.writes().await.unwrap().len();
    let own = harness
        .submit(category_job("own-single", &category("single")))
        .await
        .unwrap();
    let mut theirs = category_job("their-single", &category("single"));
    theirs["subscription"] = json!("other");
    let theirs = harness.submit(theirs).await.unwrap();
    harness.expect_all_succeeded(&own, 1).await.unwrap();
    harness.expect_all_succeeded(&theirs, 1).await.unwrap();
    harness
        .act(&format!("/v1/executions/{bulk}:cancel"))
        .await
        .unwrap();

    let writes = harness.log.writes().await.unwrap();
    for single in ["own-single", "their-single"] {
        let place = writes.iter().position(|write| write.id == single).unwrap();
        assert!(
            place < before + BULK / 10,
            "{single} is write {place}, but was submitted after {before}"
        );
    }
    crate::harness::expect_sum(&harness.done(&bulk).await.unwrap());
}
