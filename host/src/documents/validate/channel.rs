//! Channels.

use std::collections::BTreeMap;

use super::audience::audience;
use super::limits::limits;
use super::name::{is_name, name};
use super::retry::retry;
use super::{Issue, range};
use crate::documents::model::ChannelDocument;

const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const MAX_BELTS: u64 = 64;

/// The problems of a channel.
pub fn channel(document: &ChannelDocument) -> Vec<Issue> {
    let mut issues: Vec<Issue> = [
        name("/name", &document.name),
        name("/connector", &document.connector),
        document.version.as_deref().and_then(version),
        document
            .partition
            .validate()
            .err()
            .map(|detail| Issue::new("/partition", "partition.invalid", detail)),
        range(
            "/max_retry_after_ms",
            document.max_retry_after_ms,
            1,
            31 * 24 * HOUR_MS,
            " ms",
        ),
        range(
            "/parent_wait_ms",
            document.parent_wait_ms,
            0,
            48 * HOUR_MS,
            " ms",
        ),
        range(
            "/call_timeout_ms",
            document.call_timeout_ms,
            1,
            15 * MINUTE_MS,
            " ms",
        ),
        document.request_timeout_ms.and_then(|ms| {
            range(
                "/request_timeout_ms",
                ms,
                1,
                document.call_timeout_ms.max(1),
                " ms (`call_timeout_ms`)",
            )
        }),
        range("/max_calls", document.max_calls.into(), 1, 4096, ""),
        document
            .max_items
            .and_then(|items| range("/max_items", items.into(), 1, 100_000, "")),
        range(
            "/payload_max_age_ms",
            document.payload_max_age_ms,
            1,
            24 * HOUR_MS,
            " ms",
        ),
        range(
            "/settle_within_ms",
            document.settle_within_ms,
            1,
            31 * 24 * HOUR_MS,
            " ms",
        ),
        range(
            "/belts",
            document.belts.len() as u64,
            0,
            MAX_BELTS,
            " belts",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    issues.extend(audience(&document.subscriptions, "connect to this channel"));
    issues.extend(belts(&document.belts));
    issues.extend(retry(&document.retry));
    issues.extend(limits(&document.limits, true));
    issues
}

fn belts(belts: &[Vec<String>]) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for (belt, types) in belts.iter().enumerate() {
        if types.is_empty() {
            issues.push(Issue::new(
                format!("/belts/{belt}"),
                "belt.empty",
                format!("belt {} lists no object type", belt + 1),
            ));
        }
        for (place, object_type) in types.iter().enumerate() {
            let pointer = format!("/belts/{belt}/{place}");
            if !is_name(object_type) {
                issues.push(Issue::new(
                    pointer,
                    "name.invalid",
                    format!("`{object_type}` is not a valid object type"),
                ));
            } else if let Some(first) = taken.insert(object_type, belt) {
                issues.push(Issue::new(
                    pointer,
                    "belt.duplicate_type",
                    format!("`{object_type}` is already on belt {}", first + 1),
                ));
            }
        }
    }
    issues
}

/// Checks a version pin: one to three numbers (`1`, `1.2`, `1.2.3`). Three numbers may have a
/// pre-release.
fn version(text: &str) -> Option<Issue> {
    let (numbers, suffix) = text
        .split_once(['-', '+'])
        .map_or((text, None), |(numbers, suffix)| (numbers, Some(suffix)));
    let parts: Vec<&str> = numbers.split('.').collect();
    let numeric = parts
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let right = numeric
        && parts.len() <= 3
        && suffix.is_none_or(|suffix| !suffix.is_empty() && parts.len() == 3);
    (!right).then(|| {
        Issue::new(
            "/version",
            "version.invalid",
            format!("`{text}` is not a version; write `1`, `1.2` or `1.2.3`"),
        )
    })
}
