//! The configuration of the host: one subscription, one source, two channels.

use std::path::Path;

use anyhow::Result;
use egression_sandbox::{Limit, Scenario};
use serde_json::{Value, json};

/// The tenant.
pub(crate) const SUBSCRIPTION: &str = "demo";
/// The Metadata API.
pub(crate) const SOURCE: &str = "pim";
/// The channels, in the order of the shops.
pub(crate) const CHANNELS: [&str; 2] = ["shop-a", "shop-b"];
/// Objects in one read of the source.
const SOURCE_BATCH: u32 = 200;
/// Items in one call of channel B's connector, which sends them one after the other. The number is
/// small, so that a slow answer delays few other items.
const ITEMS_B: u32 = 4;
/// Above the shops' latency of 2 s.
const REQUEST_TIMEOUT_MS: u64 = 10_000;
const CALL_TIMEOUT_MS: u64 = 30_000;

pub(crate) struct Parties<'a> {
    pub(crate) source_url: String,
    pub(crate) source_token: &'a str,
    /// Shop A and shop B: URL and scenario.
    pub(crate) shops: [(String, &'a Scenario); 2],
}

/// The text of `egression.toml`. Secrets go to files in the directory, never into the text.
pub(crate) fn text(parties: &Parties<'_>, directory: &Path) -> Result<String> {
    let secret = |name: &str, value: &str| -> Result<Value> {
        let file = directory.join(name);
        std::fs::write(&file, value)?;
        Ok(json!({ "file": file }))
    };
    let [(url_a, a), (url_b, b)] = &parties.shops;
    let auth_a = json!({
        "scheme": "oauth2_client_credentials",
        "token_url": format!("{url_a}/oauth/token"),
        "client_id": a.credentials.client_id,
        "client_secret": secret("client-secret", &a.credentials.client_secret)?,
    });
    let api_key = secret("api-key", &b.credentials.api_key)?;
    let auth_b = json!({ "scheme": "connector", "secrets": { "api_key": api_key } });
    let source_auth =
        json!({ "scheme": "bearer", "token": secret("source-token", parties.source_token)? });
    let settings_a = json!({ "base_url": url_a, "mode": "batch" });
    let settings_b = json!({ "base_url": url_b, "mode": "single", "login": true });
    let documents = json!({
        "subscriptions": [{ "name": SUBSCRIPTION }],
        "sources": [source(&parties.source_url, &source_auth)],
        "channels": [
            channel(CHANNELS[0], &a.limits, None),
            channel(CHANNELS[1], &b.limits, Some(ITEMS_B)),
        ],
        "connections": [
            connection(CHANNELS[0], &settings_a, &auth_a),
            connection(CHANNELS[1], &settings_b, &auth_b),
        ],
    });
    Ok(toml::to_string(&documents)?)
}

fn source(url: &str, auth: &Value) -> Value {
    json!({
        "name": SOURCE,
        "subscriptions": [SUBSCRIPTION],
        "kind": "http",
        "object_url": format!("{url}/objects/{{type}}/{{id}}"),
        "batch_url": format!("{url}/objects:batchGet"),
        "max_batch": SOURCE_BATCH,
        "auth": auth,
        "limits": [{ "kind": "concurrency", "max": 8 }],
        "allow_addresses": ["127.0.0.1/32"],
    })
}

fn channel(name: &str, limits: &[Limit], max_items: Option<u32>) -> Value {
    let mut channel = json!({
        "name": name,
        "connector": "sandbox",
        "belts": [["category", "brand"], ["product"], ["offer"]],
        "partition": "object",
        "limits": limits,
        "retry": { "base_ms": 200, "max_ms": 5_000 },
        "call_timeout_ms": CALL_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
    });
    if let Some(max_items) = max_items {
        channel["max_items"] = json!(max_items);
    }
    channel
}

fn connection(channel: &str, settings: &Value, auth: &Value) -> Value {
    json!({
        "subscription": SUBSCRIPTION,
        "channel": channel,
        "settings": settings,
        "auth": auth,
        "allow_addresses": ["127.0.0.1/32"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{shop_a, shop_b};

    #[test]
    fn text_is_toml_without_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (shop_a(500, 7), shop_b(500, 7));
        let shops = [
            ("http://127.0.0.1:1".to_owned(), &a),
            ("http://127.0.0.1:2".to_owned(), &b),
        ];
        let parties = Parties {
            source_url: "http://127.0.0.1:3".to_owned(),
            source_token: "source-token-7",
            shops,
        };
        let text = text(&parties, directory.path()).unwrap();
        let parsed: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(
            parsed["channels"][1]["limits"][0]["rate"].as_integer(),
            Some(300)
        );
        for secret in [
            &a.credentials.client_secret,
            &b.credentials.api_key,
            "source-token-7",
        ] {
            assert!(!text.contains(secret));
        }
    }
}
