//! Two tenants, four channels, and a connector that supports two object types.

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
            json!({"name": "pim", "kind": "http", "object_url": "https://pim.example/{type}/{id}"}),
        ),
        stored(
            DocumentName::Source("inline".into()),
            6,
            json!({"name": "inline", "kind": "inline"}),
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

fn refused(change: Value) -> Vec<(String, String)> {
    let errors = validator()
        .validate(submission(change))
        .err()
        .expect("this must be refused");
    errors
        .into_iter()
        .map(|error| (error.pointer, error.code))
        .collect()
}

#[test]
fn validation_errors_name_the_place() {
    let eleven: serde_json::Map<String, Value> =
        (0..11).map(|i| (i.to_string(), json!("x"))).collect();
    for (change, pointer, code) in [
        (
            json!({"subscription": "other"}),
            "/subscription",
            "foreign_subscription",
        ),
        (json!({"source": "erp"}), "/source", "unknown_source"),
        (json!({"source": null}), "/source", "required"),
        (json!({"source": "inline"}), "/payload", "required"),
        (
            json!({"channels": ["shop-de", "shop-xx"]}),
            "/channels/1",
            "unknown_channel",
        ),
        (
            json!({"channels": ["shop-it"]}),
            "/channels/0",
            "no_connection",
        ),
        (
            json!({"channels": ["market"]}),
            "/channels/0",
            "connector_not_installed",
        ),
        (
            json!({"channels": ["shop-de", "shop-de"]}),
            "/channels/1",
            "duplicate_value",
        ),
        (json!({"channels": []}), "/channels", "required"),
        (json!({"channels": null}), "/channels", "required"),
        (json!({"channel": "shop-de"}), "/channel", "invalid_value"),
        (json!({"action": null}), "/action", "required"),
        (json!({"object_type": null}), "/object_type", "required"),
        (
            json!({"object_type": "price"}),
            "/object_type",
            "unknown_object_type",
        ),
        (
            json!({"object_type": "brand"}),
            "/action",
            "unsupported_action",
        ),
        (json!({"object_ids": []}), "/object_ids", "required"),
        (json!({"object_ids": null}), "/object_ids", "required"),
        (
            json!({"object_ids": ["1", ""]}),
            "/object_ids/1",
            "invalid_value",
        ),
        (
            json!({"object_ids": ["x".repeat(513)]}),
            "/object_ids/0",
            "invalid_value",
        ),
        (
            json!({"object_ids": ["a\nb"]}),
            "/object_ids/0",
            "invalid_value",
        ),
        (
            json!({"scheduled_at": "tomorrow"}),
            "/scheduled_at",
            "invalid_value",
        ),
        (
            json!({"expires_at": "2026-13-01T00:00:00Z"}),
            "/expires_at",
            "invalid_value",
        ),
        (
            json!({"scheduled_at": "2026-11-21T08:00:00Z",
                "expires_at": "2026-11-21T08:00:00+00:00"}),
            "/expires_at",
            "invalid_value",
        ),
        (json!({"priority": 11}), "/priority", "invalid_value"),
        (json!({"priority": -300}), "/priority", "invalid_value"),
        (
            json!({"partition_key": ""}),
            "/partition_key",
            "invalid_value",
        ),
        (
            json!({"client_ref": "x".repeat(201)}),
            "/client_ref",
            "invalid_value",
        ),
        (json!({"context": eleven}), "/context", "too_many"),
        (
            json!({"context": {"a": "x".repeat(257)}}),
            "/context",
            "invalid_value",
        ),
        (json!({"payload": [1]}), "/payload", "wrong_type"),
        (
            json!({"payload": {}, "object_ids": ["1", "2"]}),
            "/payload",
            "invalid_value",
        ),
        (
            json!({"payload": {}, "action": "delete"}),
            "/payload",
            "invalid_value",
        ),
        (
            json!({"payload": {"a": "x".repeat(100)}}),
            "/payload",
            "too_large",
        ),
        (
            json!({"depends_on": [{"type": "product", "id": "1"}]}),
            "/depends_on",
            "dependency_cycle",
        ),
        (
            json!({"depends_on": [{"type": "brand", "id": ""}]}),
            "/depends_on/0",
            "invalid_value",
        ),
        (
            json!({"depends_on": [{"type": "x".repeat(513), "id": "1"}]}),
            "/depends_on/0",
            "invalid_value",
        ),
        (
            json!({"depends_on": (0..3).map(|i| json!({"type": "brand",
                "id": i.to_string()})).collect::<Vec<_>>()}),
            "/depends_on",
            "too_many",
        ),
    ] {
        assert_eq!(
            refused(change.clone()),
            [(pointer.to_owned(), code.to_owned())],
            "{change}"
        );
    }
}

#[test]
fn validation_reports_all_errors_at_once() {
    let places: Vec<_> =
        refused(json!({"source": "erp", "priority": 99, "channels": ["x"], "object_ids": []}))
            .into_iter()
            .map(|(p, _)| p)
            .collect();
    assert_eq!(
        places,
        ["/object_ids", "/source", "/priority", "/channels/0"]
    );
}

#[test]
fn submission_expands_to_one_job_per_object_and_channel() {
    let item = submission(
        json!({"channels": ["shop-de", "shop-fr"], "object_ids": ["1", "2"], "priority": 5,
            "client_ref": "r"}),
    );
    let accepted = validator().validate(item).ok().unwrap();
    assert_eq!(accepted.jobs(), 4);
    let jobs: Vec<StagedJob> = accepted.expand(10).collect();
    let fixed: Vec<_> = jobs
        .iter()
        .map(|j| {
            (
                j.index,
                j.object.id.as_str(),
                j.connection.0,
                j.belt,
                j.partition_key.as_deref(),
            )
        })
        .collect();
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
    let delete = validator()
        .validate(submission(json!({"action": "delete", "source": null})))
        .ok()
        .unwrap();
    assert_eq!(delete.expand(0).next().unwrap().source, None);
    let inline = validator()
        .validate(submission(
            json!({"source": "inline", "payload": {"a": [1, "\u{e9}"]},
            "full": true, "revision": 7}),
        ))
        .ok()
        .unwrap();
    let job = inline.expand(0).next().unwrap();
    assert_eq!(
        (job.source, job.payload.as_deref(), job.full, job.revision),
        (
            Some(SourceId(6)),
            Some("{\"a\":[1,\"\u{e9}\"]}"),
            true,
            Some(7)
        )
    );
}

#[test]
fn partition_key_of_the_item_overrides_the_channel() {
    let job = |change| {
        validator()
            .validate(submission(change))
            .ok()
            .unwrap()
            .expand(0)
            .next()
            .unwrap()
    };
    assert_eq!(
        job(json!({"partition_key": "order-7"}))
            .partition_key
            .as_deref(),
        Some("order-7")
    );
    assert_eq!(
        job(json!({"channels": ["shop-fr"], "partition_key": "product:1"})).partition_key,
        None
    );
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
    let job = validator()
        .validate(submission(json!({"context": {"traceparent": trace}})))
        .ok()
        .unwrap()
        .expand(0)
        .next()
        .unwrap();
    assert_eq!(job.traceparent.as_deref(), Some(trace));
    let job = validator()
        .validate(submission(json!({"context": {"traceparent": "x"}})))
        .ok()
        .unwrap()
        .expand(0)
        .next()
        .unwrap();
    assert_eq!(job.traceparent, None);
}

#[test]
fn belt_of_an_unnamed_type_is_the_last() {
    let belts = vec![
        vec!["category".to_owned(), "brand".to_owned()],
        vec!["product".to_owned()],
    ];
    assert_eq!(
        (
            belt_of(&belts, "brand"),
            belt_of(&belts, "product"),
            belt_of(&belts, "image")
        ),
        (1, 2, 2)
    );
    assert_eq!(belt_of(&[], "anything"), 1);
}
