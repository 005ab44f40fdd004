//! A set of documents as a file holds it: each by itself, no two of one name, and what they name.

use std::collections::BTreeSet;

use super::{Issue, channel, connection, source, subscription};
use crate::documents::model::{AuthDocument, Documents};
use crate::documents::secret::SecretRef;

/// What is wrong with a set whose references may lead out of it, as `egression apply` sends it.
/// Pointers begin with the kind and the place in the set: `/channels/0/partition`.
#[must_use]
pub fn set(documents: &Documents) -> Vec<Issue> {
    let mut issues = Vec::new();
    issues.extend(each(
        "subscriptions",
        &documents.subscriptions,
        subscription,
    ));
    issues.extend(each("sources", &documents.sources, source));
    issues.extend(each("channels", &documents.channels, channel));
    issues.extend(each("connections", &documents.connections, connection));
    issues.extend(repeated(
        "subscriptions",
        documents.subscriptions.iter().map(|d| d.name.clone()),
    ));
    issues.extend(repeated(
        "sources",
        documents.sources.iter().map(|d| d.name.clone()),
    ));
    issues.extend(repeated(
        "channels",
        documents.channels.iter().map(|d| d.name.clone()),
    ));
    issues.extend(repeated(
        "connections",
        documents
            .connections
            .iter()
            .map(|d| format!("{} of {}", d.channel, d.subscription)),
    ));
    issues.extend(values(documents));
    issues
}

/// What is wrong with a set that must be complete in itself, as the file of `egression serve`.
#[must_use]
pub fn complete_set(documents: &Documents) -> Vec<Issue> {
    let mut issues = set(documents);
    let subscriptions: BTreeSet<&str> = documents
        .subscriptions
        .iter()
        .map(|d| d.name.as_str())
        .collect();
    let channels: BTreeSet<&str> = documents.channels.iter().map(|d| d.name.as_str()).collect();
    for (index, document) in documents.connections.iter().enumerate() {
        let missing = |field: &str, name: &str| {
            Issue::new(
                format!("/connections/{index}/{field}"),
                "reference.missing",
                format!("there is no {field} `{name}` in this file"),
            )
        };
        if !subscriptions.contains(document.subscription.as_str()) {
            issues.push(missing("subscription", &document.subscription));
        }
        if !channels.contains(document.channel.as_str()) {
            issues.push(missing("channel", &document.channel));
        }
    }
    issues.extend(kept(documents));
    issues
}

fn each<T>(kind: &str, documents: &[T], check: fn(&T) -> Vec<Issue>) -> Vec<Issue> {
    let placed = |(index, document): (usize, &T)| {
        let prefix = format!("/{kind}/{index}");
        check(document)
            .into_iter()
            .map(move |issue| issue.under(&prefix))
    };
    documents.iter().enumerate().flat_map(placed).collect()
}

fn repeated(kind: &str, names: impl Iterator<Item = String>) -> Vec<Issue> {
    let mut seen = BTreeSet::new();
    let issue = |index: usize, name: &str| {
        Issue::new(
            format!("/{kind}/{index}"),
            "document.duplicate",
            format!("`{name}` is there twice"),
        )
    };
    names
        .enumerate()
        .filter_map(|(index, name)| {
            if seen.contains(&name) {
                Some(issue(index, &name))
            } else {
                seen.insert(name);
                None
            }
        })
        .collect()
}

/// A file never holds a secret itself.
fn values(documents: &Documents) -> Vec<Issue> {
    let detail = "a file must not hold a secret; write `{ env = \"NAME\" }` or `{ file = \"PATH\" }`, or give the value by the API";
    references(
        documents,
        |reference| matches!(reference, SecretRef::Value(_)),
        "secret.in_text",
        detail,
    )
}

/// Nothing can be kept for a document that only this file manages.
fn kept(documents: &Documents) -> Vec<Issue> {
    let detail = "nothing is stored for what this file manages; write `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
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
    let sources = documents
        .sources
        .iter()
        .map(|d| d.auth.as_ref())
        .enumerate()
        .map(|(index, auth)| ("sources", index, auth));
    let connections = documents
        .connections
        .iter()
        .map(|d| d.auth.as_ref())
        .enumerate()
        .map(|(index, auth)| ("connections", index, auth));
    let place = |(kind, index, auth): (&'static str, usize, Option<&AuthDocument>)| -> Vec<Issue> {
        let secrets = auth.map(AuthDocument::secrets).unwrap_or_default();
        secrets
            .into_iter()
            .filter(|s| matches(s.reference))
            .map(|s| Issue::new(s.pointer, code, detail).under(&format!("/{kind}/{index}")))
            .collect()
    };
    sources.chain(connections).flat_map(place).collect()
}
