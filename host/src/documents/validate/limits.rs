//! Refuses limits that make no sense: zeros, periods beyond a year, duplicate names, a scope that
//! does not belong there.

use std::collections::BTreeSet;

use egression_core::time::Wall;

use super::name::name;
use super::{Issue, range};
use crate::documents::limits::{LimitDocument, LimitScope};

/// A year.
const MAX_PERIOD_MS: u64 = 366 * 24 * 60 * 60 * 1000;
/// The shortest window with an anchor: clocks agree only within some milliseconds.
const MIN_FIXED_WINDOW_MS: u64 = 1000;
const MAX_REQUESTS: u64 = u32::MAX as u64;
/// The most limits of a document: each request acquires all of them, and they cost all tenants.
const MAX_LIMITS: usize = 32;

/// The problems of the limits at `/limits`. `shared`: other documents may share them.
pub(super) fn limits(limits: &[LimitDocument], shared: bool) -> Vec<Issue> {
    if limits.len() > MAX_LIMITS {
        let detail = format!("expected at most {MAX_LIMITS} limits");
        return vec![Issue::new("/limits", "too_many", detail)];
    }
    let mut issues = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, limit) in limits.iter().enumerate() {
        let at = |field: &str| format!("/limits/{index}/{field}");
        issues.extend(
            sizes(limit)
                .into_iter()
                .filter_map(|(field, value, most)| range(&at(field), value, 1, most, "")),
        );
        let (scope, limit_name) = (limit.scope(), limit.name());
        if !shared && scope != LimitScope::Connection {
            issues.push(Issue::new(
                at("scope"),
                "limit.scope",
                "a shared limit belongs to the channel; omit `scope` here",
            ));
        }
        issues.extend(
            limit
                .counts()
                .and_then(|counts| name(&at("counts"), counts)),
        );
        if let LimitDocument::Window {
            window_ms,
            anchor: Some(anchor),
            ..
        } = limit
        {
            issues.extend(fixed(&at, *window_ms, anchor));
        }
        let Some(limit_name) = limit_name else {
            continue;
        };
        issues.extend(name(&at("name"), limit_name));
        if !seen.insert((scope, limit_name)) {
            issues.push(Issue::new(
                at("name"),
                "limit.duplicate",
                format!("two limits have the name `{limit_name}`"),
            ));
        }
    }
    issues
}

fn sizes(limit: &LimitDocument) -> Vec<(&'static str, u64, u64)> {
    match *limit {
        LimitDocument::TokenBucket {
            rate,
            per_ms,
            burst,
            ..
        } => {
            vec![
                ("rate", rate.into(), MAX_REQUESTS),
                ("per_ms", per_ms, MAX_PERIOD_MS),
                ("burst", burst.into(), MAX_REQUESTS),
            ]
        }
        LimitDocument::Window { max, window_ms, .. } => vec![
            ("max", max.into(), MAX_REQUESTS),
            ("window_ms", window_ms, MAX_PERIOD_MS),
        ],
        LimitDocument::Concurrency { max, .. } => vec![("max", max.into(), MAX_REQUESTS)],
        LimitDocument::MinInterval { interval_ms, .. } => {
            vec![("interval_ms", interval_ms, MAX_PERIOD_MS)]
        }
    }
}

/// The problems of a window with an anchor.
fn fixed(at: &impl Fn(&str) -> String, window_ms: u64, anchor: &str) -> Vec<Issue> {
    let mut issues = Vec::new();
    if let Err(error) = Wall::parse_rfc3339(anchor) {
        let detail =
            format!("must be an RFC 3339 instant such as `2026-01-01T00:00:00-08:00`: {error}");
        issues.push(Issue::new(at("anchor"), "limit.anchor", detail));
    }
    issues.extend(range(
        &at("window_ms"),
        window_ms,
        MIN_FIXED_WINDOW_MS,
        MAX_PERIOD_MS,
        "",
    ));
    issues
}
