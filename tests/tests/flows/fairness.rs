//! A large bulk holds up neither another tenant nor the same tenant's single job.

use egression_sandbox::Scenario;
use serde_json::json;

use crate::rig::{CHANNEL, Layout, category, category_job, connection};
use egression_sandbox::Shop;

const BULK: usize = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_takes_turns_with_single_jobs() {
    let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let ends = connection(&format!("http://{}", shop.addr()), "single", false);
    let rig = Layout {
        mode: "single",
        // One limit for all tenants, so that they really share something.
        channel: "max_items = 1\nlimits = [{ kind = \"token_bucket\", scope = \"channel\", rate = 250, burst = 10 }]\n".to_owned(),
        more: format!("[[subscriptions]]\nname = \"other\"\n[[connections]]\nsubscription = \"other\"\nchannel = \"{CHANNEL}\"\n{ends}"),
        ..Layout::default()
    }
    .start_with(shop)
    .await
    .unwrap();
    let bulk = (0..BULK)
        .map(|n| category_job(&format!("c{n}"), &category("bulk")))
        .collect();
    let bulk = rig.bulk(json!({}), bulk).await.unwrap();
    rig.until(&bulk, |view| {
        view["counts"]["succeeded"].as_u64() > Some(50)
    })
    .await
    .unwrap();

    let before = rig.log.writes().await.unwrap().len();
    let own = rig
        .submit(category_job("own-single", &category("single")))
        .await
        .unwrap();
    let mut theirs = category_job("their-single", &category("single"));
    theirs["subscription"] = json!("other");
    let theirs = rig.submit(theirs).await.unwrap();
    rig.expect_all_succeeded(&own, 1).await.unwrap();
    rig.expect_all_succeeded(&theirs, 1).await.unwrap();
    rig.act(&format!("/v1/executions/{bulk}:cancel"))
        .await
        .unwrap();

    let writes = rig.log.writes().await.unwrap();
    for single in ["own-single", "their-single"] {
        let place = writes.iter().position(|write| write.id == single).unwrap();
        assert!(
            place < before + BULK / 10,
            "{single} is write {place}, it was submitted after {before}"
        );
    }
    crate::rig::expect_sum(&rig.done(&bulk).await.unwrap());
}
