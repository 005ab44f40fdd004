//! Two thousand objects end clean despite every fault of the destination.

use std::collections::HashMap;

use anyhow::Result;
use egression_sandbox::{CoolDown, Faults, Latency, Limit, Scenario};
use egression_tests::order::Delivered;
use egression_tests::source::MetadataApi;
use serde_json::json;

use crate::harness::catalogue::{self, BELTS};
use crate::harness::{FAST_RETRY, SOURCE_TOKEN, Setup, expect_sum, source};

const OBJECTS: usize = 2000;

/// `share` is a share of calls, and batches need few calls.
fn faults(share: f64) -> Faults {
    Faults {
        error_5xx: share,
        latency: Latency { share, ms: 200 },
        drop_after_write: share / 2.0,
        batch_refusal: share,
        token_revocations: vec![300, 900],
        cool_downs: vec![CoolDown {
            after_calls: 30,
            ms: 700,
        }],
    }
}

async fn ends_clean(mode: &'static str, rate: u64, burst: u64, share: f64) -> Result<()> {
    let things = catalogue::things(OBJECTS);
    let api =
        MetadataApi::start(things.iter().map(|thing| thing.at_source(1)), SOURCE_TOKEN).await?;
    let limits = vec![
        Limit::TokenBucket {
            rate,
            per_ms: 1000,
            burst,
        },
        Limit::Concurrency { max: 12 },
    ];
    let seed = 20_261_121;
    eprintln!("seed {seed}");
    let harness = Setup {
        scenario: Scenario {
            faults: faults(share),
            limits: limits.clone(),
            seed,
            ..Scenario::default()
        },
        channel: format!(
            "{BELTS}{FAST_RETRY}limits = [\
             {{ kind = \"token_bucket\", rate = {rate}, burst = {burst} }}, \
             {{ kind = \"concurrency\", max = 12 }}]\n"
        ),
        more: source(&api.url(), ""),
        mode,
        ..Setup::default()
    }
    .start()
    .await?;

    let execution = harness
        .bulk(
            json!({}),
            things.iter().map(catalogue::Thing::job).collect(),
        )
        .await?;
    let view = harness.done(&execution).await?;
    expect_sum(&view);
    assert_eq!(view["counts"]["succeeded"], OBJECTS, "{view}");
    assert_eq!(view["progress"], 1.0);

    let there: HashMap<_, _> = harness
        .log
        .objects()
        .await?
        .into_iter()
        .map(|o| ((o.object_type, o.id), o.digest))
        .collect();
    assert_eq!(there.len(), OBJECTS, "nothing is lost");
    for thing in &things {
        let digest = there.get(&(thing.object_type.to_owned(), thing.id.clone()));
        assert_eq!(
            digest,
            Some(&thing.digest()),
            "{} {}",
            thing.object_type,
            thing.id
        );
    }
    let report = harness.shop.report();
    eprintln!("{report:?}");
    assert_eq!(
        (
            report.limit_exceeded,
            report.missing_reference,
            report.repeated_other_key
        ),
        (0, 0, 0)
    );
    assert!(
        report.repeated_same_key <= report.dropped_items + report.error_5xx_items,
        "{report:?}"
    );
    let delivered = catalogue::order(&things).judge(&harness.log.writes().await?);
    assert_eq!(
        delivered,
        Delivered {
            repeated_same_key: delivered.repeated_same_key,
            ..Delivered::default()
        }
    );
    // Every fault occurred.
    assert!(
        report.error_5xx_calls > 0 && report.token_revocations == 2 && report.closures_ms > 0,
        "{report:?}"
    );
    assert!(
        mode == "single" || report.by_status.contains_key(&413),
        "{report:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_end_clean_under_faults() {
    ends_clean("batch", 40, 5, 0.12).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_objects_end_clean_under_faults() {
    ends_clean("single", 400, 30, 0.03).await.unwrap();
}
