//! Sources.

use super::addresses::allow_addresses;
use super::audience::audience;
use super::limits::limits;
use super::name::name;
use super::urls::{template, url};
use super::{Issue, connection::auth, range};
use crate::documents::model::{SourceDocument, SourceKind};

const MAX_BATCH: u64 = 10_000;
const MAX_TIMEOUT_MS: u64 = 10 * 60 * 1000;
const MAX_OBJECT_BYTES: u64 = 64 * 1024 * 1024;

/// The problems of a source.
pub fn source(document: &SourceDocument) -> Vec<Issue> {
    let mut issues: Vec<Issue> = [
        name("/name", &document.name),
        range("/max_batch", document.max_batch.into(), 1, MAX_BATCH, ""),
        range("/timeout_ms", document.timeout_ms, 1, MAX_TIMEOUT_MS, " ms"),
        range(
            "/max_object_bytes",
            document.max_object_bytes,
            1,
            MAX_OBJECT_BYTES,
            " bytes",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    issues.extend(audience(&document.subscriptions, "name this source"));
    match document.kind {
        SourceKind::Http => issues.extend(http(document)),
        SourceKind::Inline => issues.extend(inline(document)),
    }
    issues
}

fn http(document: &SourceDocument) -> Vec<Issue> {
    let mut issues = limits(&document.limits, false);
    issues.extend(allow_addresses(&document.allow_addresses));
    match &document.object_url {
        Some(text) => issues.extend(template("/object_url", text, &["{type}", "{id}"])),
        None => issues.push(Issue::new(
            "/object_url",
            "field.missing",
            "a source of kind `http` needs `object_url`",
        )),
    }
    if let Some(text) = &document.batch_url {
        issues.extend(url("/batch_url", text).or_else(|| template("/batch_url", text, &[])));
    }
    if let Some(document) = &document.auth {
        issues.extend(auth(document, false));
    }
    issues
}

fn inline(document: &SourceDocument) -> Vec<Issue> {
    let given = [
        ("/object_url", document.object_url.is_some()),
        ("/batch_url", document.batch_url.is_some()),
        ("/auth", document.auth.is_some()),
        ("/limits", !document.limits.is_empty()),
        ("/allow_addresses", !document.allow_addresses.is_empty()),
    ];
    let issue = |pointer: &str| {
        Issue::new(
            pointer,
            "field.unexpected",
            "the host never calls a source of kind `inline`; its bodies come with the submission",
        )
    };
    given
        .into_iter()
        .filter(|(_, is_given)| *is_given)
        .map(|(pointer, _)| issue(pointer))
        .collect()
}
