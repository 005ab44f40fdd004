//! The optional interfaces: found by name and called, or reported as unsupported.

use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::time::Wall;

use super::{Harness, ScriptedAbilities, built, items};
use crate::runtime::connector_call::{Pending, Verdict};

const DELIVERED: Outcome = Outcome::Delivered {
    remotes: Vec::new(),
    changed: true,
    warnings: Vec::new(),
};

#[tokio::test]
async fn feed_is_accepted_polled_reconciled_and_migrated() {
    let harness = Harness::new(|_| ());
    let connector = harness
        .runtime
        .prepare(built("examples/accept_then_poll.wasm"))
        .await
        .unwrap();
    assert_eq!(
        connector.description().optional_exports,
        ["settlement", "reconciliation", "settings-migration"]
    );
    let abilities = ScriptedAbilities::answering(r#"{"id":"feed-7"}"#);

    let end = connector
        .deliver(harness.call("{}", &abilities), items([4, 9]))
        .await;
    let accepted = Outcome::Accepted {
        token: "feed-7".to_owned(),
        again_after_ms: Some(60_000),
    };
    assert_eq!(end.result.unwrap(), [(4, accepted.clone()), (9, accepted)]);

    let pending = Pending {
        token: "feed-7".to_owned(),
        submitted_at: Wall(1),
        items: items([4, 9]),
    };
    let end = connector
        .poll(harness.call("{}", &abilities), vec![pending])
        .await;
    let settled = vec![(4, DELIVERED), (9, DELIVERED)];
    assert_eq!(
        end.result.unwrap(),
        [Verdict {
            token: "feed-7".to_owned(),
            settled,
            again_after_ms: None,
            finished: true
        }]
    );
    assert_eq!(
        abilities.sent()[1].url,
        "https://feeds.example.com/v1/feeds/feed-7"
    );

    let end = connector
        .reconcile(harness.call("{}", &abilities), items([4]))
        .await;
    assert!(matches!(
        &end.result.unwrap()[..],
        [(4, Outcome::Unknown(problem))] if problem.code == "feed.unsearchable"
    ));

    let migrated = connector
        .migrate_settings("0.0.9", r#"{"market":"de"}"#)
        .await;
    assert_eq!(migrated.result.unwrap(), r#"{"market":"de"}"#);
}

#[tokio::test]
async fn missing_optional_export_is_unsupported() {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("sandbox").await;
    let abilities = ScriptedAbilities::answering("{}");
    let polled = connector
        .poll(harness.call("{}", &abilities), Vec::new())
        .await;
    assert!(matches!(polled.result, Err(CallError::Unsupported(_))));
    let reconciled = connector
        .reconcile(harness.call("{}", &abilities), items([0]))
        .await;
    assert!(matches!(reconciled.result, Err(CallError::Unsupported(_))));
}
