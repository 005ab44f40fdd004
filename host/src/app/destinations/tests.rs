//! Which limits a destination draws from, and under which keys.

use serde_json::{Value, json};

use super::*;
use crate::runtime::Bucket;
use crate::store::documents::{DocumentName, ManagedBy, StoredDocument};

fn row(name: DocumentName, id: i64, document: &Value) -> StoredDocument {
    StoredDocument {
        name,
        id,
        json: document.to_string(),
        version: 1,
        managed_by: ManagedBy::Api,
        paused: false,
        state: "active".to_owned(),
        state_reason: None,
    }
}

/// One tenant on each of these channels: the channel's limits, the connection's own, and its
/// settings.
fn connected(channels: &[(&str, Value, Value, Value)]) -> Vec<Destination> {
    let mut rows = vec![row(
        DocumentName::Subscription("acme".to_owned()),
        1,
        &json!({"name": "acme"}),
    )];
    for (id, (name, limits, own, settings)) in (1..).zip(channels) {
        let channel = json!({"name": name, "connector": "shop", "limits": limits});
        rows.push(row(DocumentName::Channel((*name).to_owned()), id, &channel));
        let connection =
            json!({"subscription": "acme", "channel": name, "limits": own, "settings": settings});
        rows.push(row(
            DocumentName::Connection {
                channel: (*name).to_owned(),
                subscription: "acme".to_owned(),
            },
            id,
            &connection,
        ));
    }
    let catalogue = Catalogue::from_rows(rows).unwrap();
    let bucket = |name: &str, scope: &str| Bucket {
        name: name.to_owned(),
        scope: scope.to_owned(),
        kind: BucketKind::Concurrency { max: 9 },
        counts: None,
        operations: Vec::new(),
    };
    let description = Description {
        buckets: vec![bucket("api", "channel"), bucket("store", "setting:url")],
        ..serde_json::from_value(json!({
            "name": "shop", "version": "1.0.0", "title": "", "contract": "0.1", "object_types": [],
                "buckets": [], "auth_schemes": [],
            "settings_schema": {}, "hosts": [], "reusable": false, "optional_exports": []
        }))
        .unwrap()
    };
    let mut destinations: Vec<Destination> = catalogue
        .connections()
        .map(|connection| of_connection(connection, &description))
        .collect();
    agree(&mut destinations);
    destinations
}

fn keys(destination: &Destination) -> Vec<String> {
    destination
        .limits
        .iter()
        .map(|limit| limit.key.to_string())
        .collect()
}

fn limits(scope: &str, max: u32) -> Value {
    json!([{"kind": "concurrency", "scope": scope, "name": "api", "max": max},
        {"kind": "min_interval", "interval_ms": max}])
}

#[test]
fn limit_key_differs_from_that_of_a_namesake() {
    let own = json!([{"kind": "concurrency", "name": "api", "max": 1000}]);
    let found = connected(&[(
        "eu",
        limits("connection", 2),
        own,
        json!({"url": "https://Shop.example:443/eu"}),
    )]);
    assert_eq!(
        keys(&found[0]),
        [
            "connection:1/channel:api",
            "connection:1/channel#2",
            "connection:1/own:api",
            "channel:eu/manifest:api",
            "connector:shop/url=https://shop.example/manifest:store"
        ]
    );
    let closed: Vec<&str> = found[0]
        .buckets(Some("api"))
        .into_iter()
        .map(|key| &*key.0)
        .collect();
    assert_eq!(
        closed,
        [
            "connection:1/channel:api",
            "connection:1/own:api",
            "channel:eu/manifest:api"
        ],
        "all of the name"
    );
    assert_eq!(
        found[0].buckets(Some("unheard")),
        [&LimitKey::new("connection:1")]
    );
    assert_eq!(
        found[0].buckets(None),
        [&LimitKey::new("connection:1")],
        "only named limits are shared by name"
    );
}

#[test]
fn shared_limit_ignores_how_its_url_is_written() {
    let urls = [
        "https://shop.example",
        "https://shop.example/",
        "https://SHOP.example:443/a?b=c",
        "http://shop.example",
        "Shop 1",
    ];
    let channels = urls.map(|url| ("eu", json!([]), json!([]), json!({"url": url})));
    let shared: Vec<String> = channels
        .iter()
        .map(|channel| {
            keys(&connected(std::slice::from_ref(channel))[0])
                .pop()
                .unwrap()
        })
        .collect();
    assert_eq!((&shared[0], &shared[0]), (&shared[1], &shared[2]));
    assert_eq!(
        shared[3],
        "connector:shop/url=http://shop.example/manifest:store"
    );
    assert_eq!(shared[4], "connector:shop/url=\"Shop 1\"/manifest:store");
}

#[test]
fn differing_definitions_of_a_shared_limit_all_apply() {
    let none = || json!({});
    let found = connected(&[
        ("eu", limits("connector", 2), json!([]), none()),
        ("us", limits("connector", 1000), json!([]), none()),
        ("other", json!([]), json!([]), none()),
    ]);
    let shared = |destination: &Destination| {
        let mut shared: Vec<_> = destination
            .limits
            .iter()
            .filter(|limit| limit.name.as_deref() == Some("api"))
            .map(|l| (l.key.to_string(), l.kind))
            .collect();
        shared.retain(|(key, _)| key.starts_with("connector:"));
        shared
    };
    let both = [
        (
            "connector:shop/channel:api".to_owned(),
            LimitKind::Concurrency { max: 2 },
        ),
        (
            "connector:shop/channel:api~2".to_owned(),
            LimitKind::Concurrency { max: 1000 },
        ),
    ];
    assert_eq!(shared(&found[0]), both);
    assert_eq!(shared(&found[1]), both);
    assert_eq!(
        shared(&found[2]),
        [],
        "who does not name it does not share it"
    );
}
