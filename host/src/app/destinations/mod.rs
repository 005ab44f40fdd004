//! Builds the gate's destinations from documents and connector manifests: grants, limits with their
//! keys, credentials.
//!
//! The key of a limit is `SCOPE/ORIGIN:NAME`: who shares the limit, where it is defined (`channel`,
//! `own`, `manifest`), and its name. A limit without a name has its index instead
//! (`SCOPE/ORIGIN#INDEX`). Therefore two limits never share a key by accident. A limit that counts
//! a cost ends in the cost's name (`SCOPE/ORIGIN:NAME (items)`). The store keeps the use of limits
//! by these keys.

use std::collections::HashMap;

use egression_core::domain::ids::{ConnectionId, Owner};
use egression_core::scheduler::limits::{LimitKey, LimitKind};
use url::Url;

use crate::documents::catalogue::{Catalogue, Connection, Source};
use crate::documents::limits::{LimitDocument, LimitScope};
use crate::documents::model::SourceKind;
use crate::gate::{BoundLimit, Destination, Grant};
use crate::resolver::MAX_RETRY_AFTER_MS;
use crate::runtime::{BucketKind, Description, HostNeed, Registry};

/// The destinations of all connections and sources. A connection whose connector is not installed
/// has none.
pub(super) fn all(catalogue: &Catalogue, registry: &Registry) -> Vec<Destination> {
    let connections = catalogue.connections().filter_map(|connection| {
        let channel = &connection.channel.document;
        let description = registry.description(&channel.connector, channel.version.as_deref())?;
        Some(of_connection(connection, &description))
    });
    let sources = catalogue
        .sources()
        .filter(|source| source.document.kind == SourceKind::Http)
        .map(|source| of_source(source));
    let mut destinations: Vec<Destination> = connections.chain(sources).collect();
    agree(&mut destinations);
    destinations
}

/// Makes definitions of a shared limit agree. If destinations define the same key differently (two
/// channels of one connector, two versions of a manifest), each gets all definitions, so that the
/// tightest applies to all. The first definition keeps the key and with it the stored use.
fn agree(destinations: &mut [Destination]) {
    let mut definitions: HashMap<LimitKey, Vec<(LimitKind, Option<String>)>> = HashMap::new();
    for limit in destinations
        .iter()
        .flat_map(|destination| &destination.limits)
    {
        let known = definitions.entry(limit.key.clone()).or_default();
        let definition = (limit.kind, limit.counts.clone());
        if !known.contains(&definition) {
            known.push(definition);
        }
    }
    let variant = |limit: &BoundLimit, place: usize, kind: LimitKind, counts: Option<&str>| {
        let number = if place == 0 {
            String::new()
        } else {
            format!("~{}", place + 1)
        };
        let counted = counts.map_or_else(String::new, |counts| format!(" ({counts})"));
        let key = LimitKey::new(format!("{}{number}{counted}", limit.key));
        BoundLimit {
            key,
            kind,
            counts: counts.map(str::to_owned),
            ..limit.clone()
        }
    };
    for destination in destinations {
        let limits = std::mem::take(&mut destination.limits);
        let all = limits.iter().flat_map(|limit| {
            let known = definitions
                .get(&limit.key)
                .into_iter()
                .flatten()
                .enumerate();
            known
                .map(move |(place, (kind, counts))| variant(limit, place, *kind, counts.as_deref()))
        });
        destination.limits = all.collect();
    }
}

fn of_connection(connection: &Connection, description: &Description) -> Destination {
    let document = &connection.document;
    let channel = &connection.channel.document;
    let owner = Owner::Connection(connection.id);
    let key = owner.to_string();
    let mut limits: Vec<BoundLimit> = Vec::new();
    for (index, limit) in channel.limits.iter().enumerate() {
        limits.push(bound(
            limit,
            &scope_key(limit, connection.id, &channel.name, &channel.connector),
            "channel",
            index,
        ));
    }
    for (index, limit) in document.limits.iter().enumerate() {
        limits.push(bound(limit, &key, "own", index));
    }
    for bucket in &description.buckets {
        let scope = bucket_scope(&bucket.scope, connection, &channel.name, &channel.connector);
        limits.push(BoundLimit {
            key: LimitKey::new(format!("{scope}/manifest:{}", bucket.name)),
            kind: bucket_kind(&bucket.kind),
            name: Some(bucket.name.clone()),
            counts: bucket.counts.clone(),
            operations: bucket.operations.clone(),
        });
    }
    Destination {
        own_key: LimitKey::new(key.as_str()),
        channel: Some(document.channel.as_str().into()),
        limits,
        grants: grants_of(connection, description),
        allow_addresses: document.allow_addresses.clone(),
        auth: document.auth.clone(),
        request_timeout_ms: channel.request_timeout_ms(),
        max_response_bytes: 0,
        max_retry_after_ms: channel.max_retry_after_ms,
        passes_closures: false,
        owner,
    }
}

fn of_source(source: &Source) -> Destination {
    let document = &source.document;
    let owner = Owner::Source(source.id);
    let key = owner.to_string();
    let urls = document.object_url.iter().chain(&document.batch_url);
    // Placeholders are in the path only, so the host can be parsed without filling them in.
    let grants = urls
        .filter_map(|url| Url::parse(&url.replace(['{', '}'], "")).ok())
        .filter_map(|url| granted(&url))
        .collect();
    Destination {
        own_key: LimitKey::new(key.as_str()),
        channel: None,
        limits: document
            .limits
            .iter()
            .enumerate()
            .map(|(i, limit)| bound(limit, &key, "own", i))
            .collect(),
        grants,
        allow_addresses: document.allow_addresses.clone(),
        auth: document.auth.clone(),
        request_timeout_ms: document.timeout_ms,
        max_response_bytes: 0,
        max_retry_after_ms: MAX_RETRY_AFTER_MS,
        passes_closures: false,
        owner,
    }
}

/// The hosts that a connection may send to: those of the settings that the manifest names, and
/// `allow_hosts`. A fixed host in the manifest is not a grant. The operator must list it in
/// `allow_hosts`, so that a new version of a connector reaches no new host without approval.
fn grants_of(connection: &Connection, description: &Description) -> Vec<Grant> {
    let mut grants = Vec::new();
    for need in &description.hosts {
        let HostNeed::Setting(name) = need else {
            continue;
        };
        let url = connection
            .document
            .settings
            .get(name)
            .and_then(|v| v.as_str())
            .and_then(|text| Url::parse(text).ok());
        grants.extend(url.and_then(|url| granted(&url)));
    }
    grants.extend(
        connection
            .document
            .allow_hosts
            .iter()
            .filter_map(|text| text.parse().ok()),
    );
    grants
}

/// The scheme, host and port of a URL.
fn granted(url: &Url) -> Option<Grant> {
    url.origin().ascii_serialization().parse().ok()
}

fn scope_key(
    limit: &LimitDocument,
    connection: ConnectionId,
    channel: &str,
    connector: &str,
) -> String {
    match limit.scope() {
        LimitScope::Connection => Owner::Connection(connection).to_string(),
        LimitScope::Channel => format!("channel:{channel}"),
        LimitScope::Connector => format!("connector:{connector}"),
    }
}

fn bucket_scope(scope: &str, connection: &Connection, channel: &str, connector: &str) -> String {
    match scope {
        "channel" => format!("channel:{channel}"),
        "connector" => format!("connector:{connector}"),
        other => match other.strip_prefix("setting:") {
            Some(name) => {
                let value = connection
                    .document
                    .settings
                    .get(name)
                    .map(shared_value)
                    .unwrap_or_default();
                format!("connector:{connector}/{name}={value}")
            }
            None => Owner::Connection(connection.id).to_string(),
        },
    }
}

/// The part of a setting's value that decides who shares a limit: the origin of a URL, otherwise
/// the whole value.
fn shared_value(value: &serde_json::Value) -> String {
    let url = value
        .as_str()
        .and_then(|text| Url::parse(text).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map_or_else(
        || value.to_string(),
        |url| url.origin().ascii_serialization(),
    )
}

fn bound(limit: &LimitDocument, scope: &str, origin: &str, index: usize) -> BoundLimit {
    let name = limit.name();
    let label = name.map_or_else(
        || format!("{origin}#{}", index + 1),
        |name| format!("{origin}:{name}"),
    );
    BoundLimit {
        key: LimitKey::new(format!("{scope}/{label}")),
        kind: limit.kind(),
        name: name.map(str::to_owned),
        counts: limit.counts().map(str::to_owned),
        operations: limit.operations().to_vec(),
    }
}

fn bucket_kind(kind: &BucketKind) -> LimitKind {
    match kind {
        BucketKind::TokenBucket {
            rate,
            per_ms,
            burst,
        } => LimitKind::TokenBucket {
            rate: *rate,
            per_ms: *per_ms,
            burst: *burst,
        },
        BucketKind::Window {
            max,
            window_ms,
            anchor: None,
        } => LimitKind::Window {
            max: *max,
            window_ms: *window_ms,
        },
        BucketKind::Window {
            max,
            window_ms,
            anchor: Some(anchor),
        } => LimitKind::FixedWindow {
            max: *max,
            window_ms: *window_ms,
            anchor: *anchor,
        },
        BucketKind::Concurrency { max } => LimitKind::Concurrency { max: *max },
        BucketKind::MinInterval { interval_ms } => LimitKind::MinInterval {
            interval_ms: *interval_ms,
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
