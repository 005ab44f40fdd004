//! Who sees limits, and who reopens them.

use egression_core::domain::ids::{Owner, SourceId};
use egression_core::scheduler::limits::{LimitKey, LimitKind};

use super::harness::*;
use crate::gate::{BoundLimit, Destination};

const BUCKET: LimitKind = LimitKind::TokenBucket {
    rate: 20,
    per_ms: 1000,
    burst: 5,
};

fn owner(host: &Host, subscription: &str) -> Owner {
    let catalogue = host.state.configuration.catalogue();
    Owner::Connection(catalogue.connection(subscription, "shop-fr").unwrap().id)
}

fn destination(owner: Owner, keys: &[&str]) -> Destination {
    let limit = |key: &&str| BoundLimit {
        key: LimitKey::new(*key),
        kind: BUCKET,
        name: None,
        counts: None,
        operations: Vec::new(),
    };
    Destination {
        owner,
        channel: None,
        limits: keys.iter().map(limit).collect(),
        own_key: LimitKey::new(owner.to_string()),
        grants: Vec::new(),
        allow_addresses: Vec::new(),
        auth: None,
        request_timeout_ms: 0,
        max_response_bytes: 0,
        max_retry_after_ms: 3_600_000,
        passes_closures: false,
    }
}

/// Two tenants that share a limit of their channel, and a source. The own keys of both tenants are
/// closed.
async fn closed() -> (Host, String, String) {
    let host = Host::start().await;
    let (acme, other) = (owner(&host, "acme"), owner(&host, "other"));
    let source = host.state.configuration.catalogue();
    let source = Owner::Source(source.source("pim").map_or(SourceId(1), |found| found.id));
    host.state.gate.configure(vec![
        destination(acme, &["channel:shop-fr/channel#1"]),
        destination(other, &["channel:shop-fr/channel#1"]),
        destination(source, &[]),
    ]);
    let until = host.state.clock.wall().plus_ms(600_000);
    for owner in [acme, other] {
        host.state
            .gate
            .throttle(owner, None, until, "429")
            .await
            .unwrap();
    }
    (host, acme.to_string(), other.to_string())
}

fn path(key: &str) -> String {
    let key = key
        .replace(':', "%3A")
        .replace('/', "%2F")
        .replace('#', "%23");
    format!("/v1/limits/{key}:reopen")
}

#[tokio::test]
async fn limits_are_listed_for_those_who_share_them() {
    let (host, acme, other) = closed().await;
    let tenant = key(&host.state, Role::Read, Some("acme")).await;
    let seen = host.get("/v1/limits").by(&tenant).await;
    assert_eq!(seen.each("key"), ["channel:shop-fr/channel#1", &acme]);
    seen.shows("/items/1/kind", "own")
        .shows("/items/1/scope", "connection")
        .shows("/items/1/owner", "acme/shop-fr");
    let own = &seen.json()["items"][1];
    assert_eq!(own["ends_by"]["at"], own["closed_until"], "{own}");
    assert_eq!(own["ends_by"]["request"]["path"], path(&acme), "{own}");
    seen.shows("/items/0/kind", "token_bucket")
        .shows("/items/0/scope", "channel")
        .shows("/items/0/owner", "shop-fr")
        .shows("/items/0/closed_until", Value::Null);
    let all = host.get("/v1/limits").await;
    assert_eq!(all.each("key").len(), 4, "and the source's: {}", all.text);
    let filtered = host.get("/v1/limits?subscription=other").await;
    assert_eq!(filtered.each("key"), ["channel:shop-fr/channel#1", &other]);
    let source = host.get("/v1/limits?source=pim").await;
    source.shows("/items/0/owner", "pim");
    host.get("/v1/limits?channel=shop-de")
        .await
        .shows("/items", json!([]));
    host.get("/v1/limits?subscription=nobody").await.expect(404);
    host.get("/v1/limits?chanel=x").await.expect(400);
}

#[tokio::test]
async fn reopening_is_for_admins_of_everyone_who_shares_the_limit() {
    let (host, acme, other) = closed().await;
    let tenant = key(&host.state, Role::Admin, Some("acme")).await;
    let submitter = key(&host.state, Role::Submit, Some("acme")).await;
    let reopen = async |as_key: &str, limit: &str, body: Option<Value>| {
        let call = host.act(&path(limit)).by(as_key);
        match body {
            Some(body) => call.json(&body).await,
            None => call.await,
        }
    };
    reopen(&submitter, &acme, None).await.expect(403);
    reopen(&tenant, &other, None).await.expect(404);
    let shared = "channel:shop-fr/channel#1";
    reopen(&tenant, shared, None).await.expect(403);
    reopen(&host.admin, shared, None).await.expect(200);
    let wrong = reopen(&tenant, &acme, Some(json!({"dryrun": true}))).await;
    wrong.expect(400).has_code("malformed_request");
    let preview = reopen(&tenant, &acme, Some(json!({"dry_run": true}))).await;
    assert_eq!(
        preview.json(),
        json!({"jobs": 0, "may_be_written_twice": 0, "order": []})
    );
    assert!(host.state.gate.closed_until(&acme).is_some());
    let done = reopen(&tenant, &acme, Some(json!({"reason": "it is back"}))).await;
    done.expect(200).shows("/closed_until", Value::Null);
    assert!(host.state.gate.closed_until(&other).is_some(), "untouched");
    let stored = host
        .state
        .store
        .closed_limits(host.state.clock.wall())
        .await;
    let stored: Vec<String> = stored.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(stored, [other]);
    let unknown = host.act("/v1/limits/x:reopen").await;
    unknown.expect(404);
    let verb = host.act("/v1/limits/x:close").await;
    verb.expect(404);
}
