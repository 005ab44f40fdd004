//! A set of documents, as in a file: each document, duplicate names, and references.

use std::collections::{BTreeMap, BTreeSet};

use super::{Issue, channel, connection, source, subscription, unknown_members, unlisted};
use crate::documents::audience::Audience;
use crate::documents::model::{AuthDocument, ChannelDocument, Documents};
use crate::documents::secret::SecretRef;

/// The problems of a set that may refer to documents outside it, as `egression apply` sends it.
/// Pointers begin with the kind and the index in the set: `/channels/0/partition`.
pub fn set(documents: &Documents) -> Vec<Issue> {
    let Documents {
        subscriptions,
        sources,
        channels,
        connections,
    } = documents;
    [
        of_kind("subscriptions", subscriptions, subscription, |d| {
            d.name.clone()
        }),
        of_kind("sources", sources, source, |d| d.name.clone()),
        of_kind("channels", channels, channel, |d| d.name.clone()),
        of_kind("connections", connections, connection, |d| {
            format!("{}/{}", d.subscription, d.channel)
        }),
        values(documents),
    ]
    .concat()
}

/// The problems of a set that must be complete, as the file of `egression serve`.
pub fn complete_set(documents: &Documents) -> Vec<Issue> {
    let mut issues = set(documents);
    let subscriptions: BTreeSet<&str> = documents
        .subscriptions
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    let channels: BTreeMap<&str, &ChannelDocument> = documents
        .channels
        .iter()
        .map(|d| (d.name.as_str(), d))
        .collect();
    let known = |name: &str| subscriptions.contains(name);
    for (kind, index, audience) in audiences(documents) {
        let unknown = unknown_members(audience, known).into_iter();
        issues.extend(unknown.map(|issue| issue.under(&format!("/{kind}/{index}"))));
    }
    for (index, document) in documents.connections.iter().enumerate() {
        let missing = |field: &str, name: &str| {
            Issue::new(
                format!("/connections/{index}/{field}"),
                "reference.missing",
                format!("this file has no {field} `{name}`"),
            )
        };
        if !subscriptions.contains(document.subscription.as_str()) {
            issues.push(missing("subscription", &document.subscription));
        }
        match channels.get(document.channel.as_str()) {
            None => issues.push(missing("channel", &document.channel)),
            Some(channel) => issues.extend(
                unlisted(channel, document).map(|i| i.under(&format!("/connections/{index}"))),
            ),
        }
    }
    issues.extend(kept(documents));
    issues
}

/// The audiences of sources and channels, with kind and index.
pub fn audiences(documents: &Documents) -> Vec<(&'static str, usize, &Audience)> {
    let sources = documents.sources.iter().map(|d| &d.subscriptions);
    let channels = documents.channels.iter().map(|d| &d.subscriptions);
    let sources = sources.enumerate().map(|(i, list)| ("sources", i, list));
    let channels = channels.enumerate().map(|(i, list)| ("channels", i, list));
    sources.chain(channels).collect()
}

/// The problems of the documents of one kind, duplicates included.
fn of_kind<T>(
    kind: &str,
    documents: &[T],
    check: fn(&T) -> Vec<Issue>,
    name: fn(&T) -> String,
) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, document) in documents.iter().enumerate() {
        let pointer = format!("/{kind}/{index}");
        issues.extend(check(document).into_iter().map(|i| i.under(&pointer)));
        let name = name(document);
        if seen.contains(&name) {
            let detail = format!("`{name}` is defined twice");
            issues.push(Issue::new(pointer, "document.duplicate", detail));
        } else {
            seen.insert(name);
        }
    }
    issues
}

/// A file must not contain a secret.
fn values(documents: &Documents) -> Vec<Issue> {
    let detail = "a file must not contain a secret; write `{ env = \"NAME\" }` or \
        `{ file = \"PATH\" }`, or send the value through the API";
    references(
        documents,
        |reference| matches!(reference, SecretRef::Value(_)),
        "secret.in_text",
        detail,
    )
}

/// The host has no stored values for documents that a file manages.
fn kept(documents: &Documents) -> Vec<Issue> {
    let detail = "the host stores no value for documents in this file; write \
        `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
    references(
        documents,
        |reference| matches!(reference, SecretRef::Stored(_)),
        "secret.not_stored",
        detail,
    )
}

fn references(
    documents: &Documents,
    matches: fn(&SecretRef) -> bool,
    code: &'static str,
    detail: &str,
) -> Vec<Issue> {
    let sources = documents.sources.iter().map(|d| d.auth.as_ref());
    let connections = documents.connections.iter().map(|d| d.auth.as_ref());
    let sources = sources.enumerate().map(|(i, auth)| ("sources", i, auth));
    let connections = connections
        .enumerate()
        .map(|(i, auth)| ("connections", i, auth));
    let mut issues = Vec::new();
    for (kind, index, auth) in sources.chain(connections) {
        for secret in auth.map(AuthDocument::secrets).unwrap_or_default() {
            if matches(secret.reference) {
                let pointer = format!("/{kind}/{index}{}", secret.pointer);
                issues.push(Issue::new(pointer, code, detail));
            }
        }
    }
    issues
}
