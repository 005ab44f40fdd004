//! What each check accepts and refuses.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::name::is_name;
use super::*;
use crate::documents::model::{ChannelDocument, ConnectionDocument, Documents, SourceDocument};

fn merged(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

fn found(issues: &[Issue]) -> Vec<(&str, &str)> {
    issues
        .iter()
        .map(|issue| (issue.pointer.as_str(), issue.code))
        .collect()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn channel_with(changes: Value) -> Vec<Issue> {
    let base = json!({"name": "shop-de", "connector": "sandbox"});
    channel(&read::<ChannelDocument>(merged(base, changes)))
}

fn source_with(changes: Value) -> Vec<Issue> {
    let base = json!({"name": "pim", "subscriptions": ["acme"], "kind": "http",
            "object_url": "https://pim.example/{type}/{id}"});
    source(&read::<SourceDocument>(merged(base, changes)))
}

fn connection_with(changes: Value) -> Vec<Issue> {
    let base = json!({"subscription": "acme", "channel": "shop-de"});
    connection(&read::<ConnectionDocument>(merged(base, changes)))
}

#[test]
fn defaults_are_valid() {
    assert_eq!(channel_with(json!({})), []);
    assert_eq!(source_with(json!({})), []);
    assert_eq!(connection_with(json!({})), []);
}

#[test]
fn name_has_only_plain_characters() {
    for good in ["a", "shop-de", "9.x_y", &"a".repeat(63)] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "Shop", "-a", ".a", "a b", "ä", &"a".repeat(64)] {
        assert!(!is_name(bad), "{bad}");
    }
}

#[test]
fn belts_list_each_type_once() {
    let issues =
        channel_with(json!({"belts": [["category", "brand"], [], ["product", "brand"], ["A"]]}));
    assert_eq!(
        found(&issues),
        [
            ("/belts/1", "belt.empty"),
            ("/belts/2/1", "belt.duplicate_type"),
            ("/belts/3/0", "name.invalid")
        ]
    );
    assert_eq!(issues[1].detail, "`brand` is already on belt 1");
}

#[test]
fn times_and_sizes_have_bounds() {
    let issues = channel_with(json!({
        "parent_wait_ms": 48 * 3_600_000 + 1, "call_timeout_ms": 1000, "request_timeout_ms": 2000,
        "max_calls": 0, "max_items": 0, "payload_max_age_ms": 0, "partition": "{shop}",
            "version": "1.x",
    }));
    let places: Vec<_> = issues.iter().map(|i| i.pointer.as_str()).collect();
    assert_eq!(
        places,
        [
            "/version",
            "/partition",
            "/parent_wait_ms",
            "/request_timeout_ms",
            "/max_calls",
            "/max_items",
            "/payload_max_age_ms"
        ]
    );
    for good in ["1", "1.2", "1.2.3", "1.2.3-rc.1"] {
        assert_eq!(channel_with(json!({ "version": good })), [], "{good}");
    }
    let issues = channel_with(json!({"version": "1.2-rc"}));
    assert_eq!(found(&issues), [("/version", "version.invalid")]);
}

#[test]
fn retry_tokens_are_statuses_classes_or_codes() {
    let rules = json!({"retry": {"attempts": 0, "base_ms": 10, "max_ms": 5, "retry_on": ["5xx",
        "503", "1104", "rate.exceeded", "6xx", "a b", ""], "reject_on": ["503"]}});
    assert_eq!(
        found(&channel_with(rules)),
        [
            ("/retry/attempts", "value.out_of_range"),
            ("/retry/max_ms", "value.out_of_range"),
            ("/retry/retry_on/4", "retry.token"),
            ("/retry/retry_on/5", "retry.token"),
            ("/retry/retry_on/6", "retry.token"),
            ("/retry/reject_on/0", "retry.contradiction"),
        ]
    );
}

#[test]
fn limit_without_room_is_refused() {
    let limits = json!({"limits": [
        {"kind": "token_bucket", "rate": 0, "per_ms": 0, "burst": 0},
        {"kind": "window", "max": 1, "window_ms": 0, "name": "daily"},
        {"kind": "concurrency", "max": 0, "name": "daily"},
        {"kind": "min_interval", "interval_ms": 0, "scope": "connector", "name": "daily"},
    ]});
    assert_eq!(
        found(&channel_with(limits.clone())),
        [
            ("/limits/0/rate", "value.out_of_range"),
            ("/limits/0/per_ms", "value.out_of_range"),
            ("/limits/0/burst", "value.out_of_range"),
            ("/limits/1/window_ms", "value.out_of_range"),
            ("/limits/2/max", "value.out_of_range"),
            ("/limits/2/name", "limit.duplicate"),
            ("/limits/3/interval_ms", "value.out_of_range"),
        ]
    );
    assert!(found(&connection_with(limits)).contains(&("/limits/3/scope", "limit.scope")));
}

#[test]
fn limits_of_a_document_are_few() {
    let limits = |count: usize| {
        let limit = json!({"kind": "window", "max": 1, "window_ms": 1000});
        json!({"limits": vec![limit; count]})
    };
    assert_eq!(
        found(&connection_with(limits(33))),
        [("/limits", "too_many")]
    );
    assert_eq!(found(&connection_with(limits(32))), []);
}

#[test]
fn fixed_window_needs_an_instant_and_at_least_a_second() {
    let limits = json!({"limits": [
        {"kind": "window", "max": 1, "window_ms": 86_400_000, "anchor": "midnight"},
        {"kind": "window", "max": 1, "window_ms": 999, "anchor": "2026-01-01T00:00:00-08:00"},
        {"kind": "window", "max": 1, "window_ms": 1000, "anchor": "2026-01-01T00:00:00Z",
            "counts": "points"},
        {"kind": "token_bucket", "rate": 1, "burst": 1, "counts": "Query points"},
    ]});
    assert_eq!(
        found(&channel_with(limits)),
        [
            ("/limits/0/anchor", "limit.anchor"),
            ("/limits/1/window_ms", "value.out_of_range"),
            ("/limits/3/counts", "name.invalid")
        ]
    );
}

#[test]
fn source_url_is_an_absolute_template() {
    let refused = [
        "pim/{type}/{id}",
        "ftp://pim.example/{type}/{id}",
        "https://pim.example/{id}",
        "https://pim.example/{type}",
        "https://{type}.example/{id}",
        "https://pim.example/{type}/{id}/{lang}",
        "https://user:secret@pim.example/{type}/{id}",
        "https://pim.example/{type}/{id}#top",
    ];
    for url in refused {
        let issues = source_with(json!({ "object_url": url }));
        assert_eq!(found(&issues), [("/object_url", "url.invalid")], "{url}");
    }
    let plain = json!({"object_url": "http://127.0.0.1:9000/o?t={type}&i={id}",
        "batch_url": "http://127.0.0.1:9000/o:batchGet"});
    assert_eq!(source_with(plain), []);
    let issues = source_with(json!({"batch_url": "https://pim.example/{type}"}));
    assert_eq!(found(&issues), [("/batch_url", "url.invalid")]);
}

#[test]
fn source_fields_depend_on_its_kind() {
    let issues = source_with(json!({"object_url": null}));
    assert_eq!(found(&issues), [("/object_url", "field.missing")]);
    let issues = source_with(json!({"kind": "inline", "auth": {"scheme": "none"}}));
    assert_eq!(
        found(&issues),
        [
            ("/object_url", "field.unexpected"),
            ("/auth", "field.unexpected")
        ]
    );
    let auth = json!({"auth": {"scheme": "connector", "secrets": {"api_key": {"env": "K"}}}});
    assert_eq!(found(&source_with(auth)), [("/auth/scheme", "auth.scheme")]);
}

#[test]
fn host_pattern_is_scheme_host_and_port() {
    let shown = |text: &str| text.parse::<HostPattern>().map(|p| p.to_string());
    for good in [
        "https://Shop.example",
        "https://*.shop.example:8443",
        "http://127.0.0.1:9000",
        "http://[::1]",
    ] {
        assert_eq!(shown(good).unwrap(), good.to_lowercase());
    }
    for bad in [
        "shop.example",
        "ftp://shop.example",
        "https://*.example",
        "https://*",
        "https://shop.example/",
        "https://u@shop.example",
        "https://shop.example:0",
        "https://shop.example:x",
        "https://a.*.example",
        "https://",
        "https://[::1",
    ] {
        assert!(shown(bad).is_err(), "{bad}");
    }
    let issues =
        connection_with(json!({"allow_hosts": ["https://shop.example", "https://*.example"]}));
    assert_eq!(found(&issues), [("/allow_hosts/1", "host.invalid")]);
    assert_eq!(
        issues[0].detail,
        "`https://*.example` needs at least two labels after `*.`"
    );
}

#[test]
fn credential_is_checked() {
    let auth = json!({"settings": [], "auth": {"scheme": "oauth2_client_credentials",
        "token_url": "/token", "client_id": "", "client_secret": {"env": "A=B"}}});
    assert_eq!(
        found(&connection_with(auth)),
        [
            ("/settings", "settings.invalid"),
            ("/auth/token_url", "url.invalid"),
            ("/auth/client_id", "field.missing"),
            ("/auth/client_secret", "secret.invalid")
        ]
    );
    let auth = json!({"auth": {"scheme": "connector", "secrets": {"a b": {"file": ""}}}});
    assert_eq!(
        found(&connection_with(auth)),
        [
            ("/auth/secrets", "name.invalid"),
            ("/auth/secrets/a b", "secret.invalid")
        ]
    );
}

#[test]
fn file_is_complete_and_has_no_secret() {
    let documents: Documents = read(json!({
        "subscriptions": [{"name": "acme"}, {"name": "acme", "weight": 0}],
        "channels": [{"name": "shop-de", "connector": "sandbox"}],
        "connections": [
            {"subscription": "acme", "channel": "shop-de", "auth": {"scheme": "bearer",
                "token": {"value": "hush"}}},
            {"subscription": "other", "channel": "shop-fr", "auth": {"scheme": "bearer",
                "token": {"stored": true}}},
        ],
    }));
    let open = [
        ("/subscriptions/1/weight", "value.out_of_range"),
        ("/subscriptions/1", "document.duplicate"),
        ("/connections/0/auth/token", "secret.in_text"),
    ];
    assert_eq!(found(&set(&documents)), open);
    let closed = [
        ("/connections/1/subscription", "reference.missing"),
        ("/connections/1/channel", "reference.missing"),
        ("/connections/1/auth/token", "secret.not_stored"),
    ];
    assert_eq!(
        found(&complete_set(&documents)),
        [&open[..], &closed[..]].concat()
    );
}

#[test]
fn audience_is_listed_and_known() {
    let field = |code| [("/subscriptions", code)];
    assert_eq!(
        found(&source_with(json!({"subscriptions": []}))),
        field("field.missing")
    );
    assert_eq!(
        found(&channel_with(json!({"subscriptions": []}))),
        field("field.missing")
    );
    assert_eq!(
        found(&source_with(json!({"subscriptions": ["acme", "*", "A"]}))),
        [
            ("/subscriptions/1", "value.conflict"),
            ("/subscriptions/2", "name.invalid")
        ]
    );
    let unlisted: SourceDocument =
        serde_json::from_value(json!({"name": "a", "kind": "inline"})).unwrap();
    let issues = source(&unlisted);
    assert_eq!(found(&issues), field("field.missing"));
    assert_eq!(
        issues[0].detail,
        "list the subscriptions that may name this source: `subscriptions = [\"acme\"]`, or \
         `subscriptions = [\"*\"]` for all"
    );

    let documents: Documents = serde_json::from_value(json!({
        "subscriptions": [{"name": "acme"}, {"name": "other"}],
        "sources": [{"name": "pim", "kind": "inline", "subscriptions": ["acme", "nobody"]}],
        "channels": [{"name": "shop", "connector": "sandbox", "subscriptions": ["acme", "gone"]}],
        "connections": [
            {"subscription": "acme", "channel": "shop"},
            {"subscription": "other", "channel": "shop"},
        ],
    }))
    .unwrap();
    assert_eq!(set(&documents), []);
    assert_eq!(
        found(&complete_set(&documents)),
        [
            ("/sources/0/subscriptions/1", "reference.missing"),
            ("/channels/0/subscriptions/1", "reference.missing"),
            ("/connections/1/channel", "connection.unlisted"),
        ]
    );
}

#[test]
fn request_timeout_follows_a_shorter_call_timeout() {
    for (changes, expected) in [
        (json!({"call_timeout_ms": 5000}), 5000),
        (json!({}), 15_000),
    ] {
        let base = json!({"name": "shop", "connector": "sandbox"});
        let channel: ChannelDocument = read(merged(base, changes));
        assert_eq!(super::channel(&channel), []);
        assert_eq!(channel.request_timeout_ms(), expected);
    }
}
