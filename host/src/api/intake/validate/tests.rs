//! Two tenants, four channels, and a connector that supports two object types.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::store::documents::{DocumentName, ManagedBy, StoredDocument};

/// A connector `sandbox` that upserts products and deletes them, and only creates brands.
pub(crate) fn description() -> Description {
    let support = |object_type: &str, actions: &[&str]| {
        json!({"object_type": object_type, "actions": actions, "idempotent_actions": [],
            "max_items": 1, "max_bytes": 1000, "max_in_flight": 0,
            "max_wait_ms": 0, "mixed_actions": false, "in_order": false, "atomic": false,
                "replaces": true, "requests_per_call": 1,
            "body": {"standard": "product@0.1"}, "example": "{}", "references": []})
    };
    let text = json!({"name": "sandbox", "version": "0.1.0", "title": "Sandbox", "contract": "0.1",
        "buckets": [], "auth_schemes": [],
        "object_types": [support("product", &["upsert", "delete"]), support("brand", &["create"])],
        "settings_schema": {}, "hosts": [], "reusable": true, "optional_exports": []});
    serde_json::from_value(text).unwrap()
}

fn stored(name: DocumentName, id: i64, document: Value) -> StoredDocument {
    StoredDocument {
        name,
        id,
        json: document.to_string(),
        version: 1,
        managed_by: ManagedBy::Api,
        paused: false,
        state: "active".into(),
        state_reason: None,
    }
}

fn catalogue() -> Arc<Catalogue> {
    let connection = |channel: &str, subscription: &str, id| {
        let name = DocumentName::Connection {
            channel: channel.into(),
            subscription: subscription.into(),
        };
        stored(
            name,
            id,
            json!({"channel": channel, "subscription": subscription}),
        )
    };
    let belts = json!([["brand"], ["product"], ["offer"]]);
    let rows = vec![
        stored(
            DocumentName::Subscription("acme".into()),
            1,
            json!({"name": "acme"}),
        ),
        stored(
            DocumentName::Subscription("other".into()),
            2,
            json!({"name": "other"}),
        ),
        stored(
            DocumentName::Source("pim".into()),
            5,
            json!({"name": "pim", "subscriptions": ["acme"], "kind": "http",
                "object_url": "https://pim.example/{type}/{id}"}),
        ),
        stored(
            DocumentName::Source("inline".into()),
            6,
            json!({"name": "inline", "subscriptions": ["*"], "kind": "inline"}),
        ),
        stored(
            DocumentName::Channel("shop-de".into()),
            1,
            json!({"name": "shop-de", "connector": "sandbox", "belts": belts}),
        ),
        stored(
            DocumentName::Channel("shop-fr".into()),
            2,
            json!({"name": "shop-fr", "connector": "sandbox", "partition": "type"}),
        ),
        stored(
            DocumentName::Channel("shop-it".into()),
            3,
            json!({"name": "shop-it", "connector": "sandbox"}),
        ),
        stored(
            DocumentName::Channel("market".into()),
            4,
            json!({"name": "market", "connector": "missing"}),
        ),
        connection("shop-de", "acme", 11),
        connection("shop-fr", "acme", 12),
        connection("market", "acme", 13),
        connection("shop-it", "other", 14),
    ];
    Arc::new(Catalogue::from_rows(rows).unwrap())
}

fn validator() -> Validator {
    let settings = ApiSettings {
        max_payload_bytes: 100,
        max_depends_on: 2,
        ..ApiSettings::default()
    };
    Validator::new(
        catalogue(),
        Arc::new(|name, _| (name == "sandbox").then(|| Arc::new(description()))),
        "acme".into(),
        Arc::new(settings),
        0,
    )
}

fn submission(change: Value) -> Submission {
    let mut base = json!({"source": "pim", "channels": ["shop-de"], "action": "update",
        "object_type": "product", "object_ids": ["1"]});
    base.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    Submission::read(base.to_string().as_bytes()).unwrap()
}

fn accepted(change: Value) -> Accepted {
    let Ok(accepted) = validator().validate(submission(change)) else {
        panic!("this must be accepted");
    };
    accepted
}

fn only_job(change: Value) -> StagedJob {
    accepted(change).expand(0).next().unwrap()
}

/// The places and codes of all errors.
fn refused(change: Value) -> Vec<(String, String)> {
    let errors = validator().validate(submission(change)).err();
    let errors = errors.expect("this must be refused").into_iter();
    errors.map(|error| (error.pointer, error.code)).collect()
}

#[test]
fn validation_errors_name_the_place() {
    // Pointer, code, and the change of a valid submission. `x*9`: nine letters `x`.
    let table = r#"
        /subscription foreign_subscription {"subscription": "other"}
        /source unknown_source {"source": "erp"}
        /source required {"source": null}
        /payload required {"source": "inline"}
        /channels/1 unknown_channel {"channels": ["shop-de", "shop-xx"]}
        /channels/0 no_connection {"channels": ["shop-it"]}
        /channels/0 connector_not_installed {"channels": ["market"]}
        /channels/1 duplicate_value {"channels": ["shop-de", "shop-de"]}
        /channels required {"channels": []}
        /channels required {"channels": null}
        /channel invalid_value {"channel": "shop-de"}
        /action required {"action": null}
        /object_type required {"object_type": null}
        /object_type unknown_object_type {"object_type": "price"}
        /action unsupported_action {"object_type": "brand"}
        /object_ids required {"object_ids": []}
        /object_ids required {"object_ids": null}
        /object_ids/1 invalid_value {"object_ids": ["1", ""]}
        /object_ids/0 invalid_value {"object_ids": ["x*513"]}
        /object_ids/0 invalid_value {"object_ids": ["a\nb"]}
        /scheduled_at invalid_value {"scheduled_at": "tomorrow"}
        /expires_at invalid_value {"expires_at": "2026-13-01T00:00:00Z"}
        /priority invalid_value {"priority": 11}
        /priority invalid_value {"priority": -300}
        /partition_key invalid_value {"partition_key": ""}
        /client_ref invalid_value {"client_ref": "x*201"}
        /context invalid_value {"context": {"a": "x*257"}}
        /payload wrong_type {"payload": [1]}
        /payload invalid_value {"payload": {}, "object_ids": ["1", "2"]}
        /payload invalid_value {"payload": {}, "action": "delete"}
        /payload too_large {"payload": {"a": "x*100"}}
        /depends_on dependency_cycle {"depends_on": [{"type": "product", "id": "1"}]}
        /depends_on/0 invalid_value {"depends_on": [{"type": "brand", "id": ""}]}
        /depends_on/0 invalid_value {"depends_on": [{"type": "x*513", "id": "1"}]}
    "#;
    let mut table = table.to_owned();
    for n in [100, 201, 257, 513] {
        table = table.replace(&format!("x*{n}"), &"x".repeat(n));
    }
    let rows = table.lines().map(str::trim).filter(|row| !row.is_empty());
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.splitn(3, ' ').collect();
        (cells[0], cells[1], serde_json::from_str(cells[2]).unwrap())
    });
    let eleven: BTreeMap<String, &str> = (0..11).map(|i| (i.to_string(), "x")).collect();
    let three: Vec<Value> = (0..3)
        .map(|i| json!({"type": "brand", "id": i.to_string()}))
        .collect();
    let at_once = json!({"scheduled_at": "2026-11-21T08:00:00Z",
        "expires_at": "2026-11-21T08:00:00+00:00"});
    let computed = [
        ("/context", "too_many", json!({"context": eleven})),
        ("/depends_on", "too_many", json!({"depends_on": three})),
        ("/expires_at", "invalid_value", at_once),
    ];
    for (pointer, code, change) in rows.chain(computed) {
        let expected = [(pointer.to_owned(), code.to_owned())];
        assert_eq!(refused(change.clone()), expected, "{change}");
    }
}

#[test]
fn validation_reports_all_errors_at_once() {
    let change = json!({"source": "erp", "priority": 99, "channels": ["x"], "object_ids": []});
    let places: Vec<_> = refused(change).into_iter().map(|(p, _)| p).collect();
    assert_eq!(
        places,
        ["/object_ids", "/source", "/priority", "/channels/0"]
    );
}

#[test]
fn submission_expands_to_one_job_per_object_and_channel() {
    let accepted = accepted(
        json!({"channels": ["shop-de", "shop-fr"], "object_ids": ["1", "2"], "priority": 5,
            "client_ref": "r"}),
    );
    assert_eq!(accepted.jobs(), 4);
    let jobs: Vec<StagedJob> = accepted.expand(10).collect();
    let fixed = jobs.iter().map(|j| {
        let (id, key) = (j.object.id.as_str(), j.partition_key.as_deref());
        (j.index, id, j.connection.0, j.belt, key)
    });
    let fixed: Vec<_> = fixed.collect();
    assert_eq!(
        fixed,
        [
            (10, "1", 11, 2, None),
            (11, "1", 12, 1, Some("product")),
            (12, "2", 11, 2, None),
            (13, "2", 12, 1, Some("product"))
        ]
    );
    assert!(jobs.iter().all(|j| j.source == Some(SourceId(5))
        && j.priority == 5
        && j.client_ref.as_deref() == Some("r")));
}

#[test]
fn source_is_optional_for_deletes_and_payloads() {
    let delete = only_job(json!({"action": "delete", "source": null}));
    assert_eq!(delete.source, None);
    let job = only_job(json!({"source": "inline", "payload": {"a": [1, "\u{e9}"]},
        "full": true, "revision": 7}));
    assert_eq!(job.source, Some(SourceId(6)));
    assert_eq!(job.payload.as_deref(), Some("{\"a\":[1,\"\u{e9}\"]}"));
    assert_eq!((job.full, job.revision), (true, Some(7)));
}

#[test]
fn partition_key_of_the_item_overrides_the_channel() {
    let own = only_job(json!({"partition_key": "order-7"}));
    assert_eq!(own.partition_key.as_deref(), Some("order-7"));
    let same = only_job(json!({"channels": ["shop-fr"], "partition_key": "product:1"}));
    assert_eq!(same.partition_key, None);
}

#[test]
fn item_that_closes_a_cycle_is_refused_alone() {
    let mut validator = validator();
    let depends = |child: &str, parent: &str| {
        submission(
            json!({"object_ids": [child], "depends_on": [{"type": "product", "id": parent}]}),
        )
    };
    assert!(validator.validate(depends("1", "2")).is_ok());
    assert!(validator.validate(depends("2", "3")).is_ok());
    assert_eq!(
        validator.validate(depends("3", "1")).err().unwrap()[0].code,
        "dependency_cycle"
    );
    assert!(validator.validate(depends("3", "4")).is_ok());
}

#[test]
fn traceparent_comes_from_the_context() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (text, expected) in [(trace, Some(trace)), ("x", None)] {
        let job = only_job(json!({"context": {"traceparent": text}}));
        assert_eq!(job.traceparent.as_deref(), expected);
    }
}

#[test]
fn belt_of_an_unnamed_type_is_the_last() {
    let belts = vec![
        vec!["category".to_owned(), "brand".to_owned()],
        vec!["product".to_owned()],
    ];
    let belts_of = ["brand", "product", "image"].map(|word| belt_of(&belts, word));
    assert_eq!(belts_of, [1, 2, 2]);
    assert_eq!(belt_of(&[], "anything"), 1);
}
