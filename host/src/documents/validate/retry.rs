//! Retry rules: attempts, backoff, and the tokens that override an outcome.

use std::collections::BTreeMap;

use egression_core::domain::retry::RetryRules;

use super::{Issue, range};

const MAX_ATTEMPTS: u64 = 100;
const MAX_BACKOFF_MS: u64 = 24 * 60 * 60 * 1000;
const MAX_TOKEN: usize = 128;

/// The problems of the rules at `/retry`.
pub(super) fn retry(rules: &RetryRules) -> Vec<Issue> {
    let mut issues: Vec<Issue> = [
        range(
            "/retry/attempts",
            rules.attempts.into(),
            1,
            MAX_ATTEMPTS,
            "",
        ),
        range("/retry/base_ms", rules.base_ms, 1, MAX_BACKOFF_MS, " ms"),
        range(
            "/retry/max_ms",
            rules.max_ms,
            rules.base_ms.clamp(1, MAX_BACKOFF_MS),
            MAX_BACKOFF_MS,
            " ms",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for (list, tokens) in [
        ("retry_on", &rules.retry_on),
        ("reject_on", &rules.reject_on),
        ("success_on", &rules.success_on),
    ] {
        for (index, token) in tokens.iter().enumerate() {
            let pointer = format!("/retry/{list}/{index}");
            if let Some(detail) = wrong_token(token) {
                issues.push(Issue::new(pointer, "retry.token", detail));
            } else if let Some(other) = taken.insert(token, list).filter(|other| *other != list) {
                issues.push(Issue::new(
                    pointer,
                    "retry.contradiction",
                    format!("`{token}` is also in `{other}`"),
                ));
            }
        }
    }
    issues
}

/// Checks a token: a status (`503`), a class of statuses (`5xx`), or a code of a problem or of the
/// destination.
fn wrong_token(token: &str) -> Option<String> {
    if let Some(class) = token
        .strip_suffix("xx")
        .filter(|class| class.len() == 1 && class.bytes().all(|b| b.is_ascii_digit()))
    {
        return (!("1"..="5").contains(&class))
            .then(|| format!("`{token}` is not a class of statuses (1xx to 5xx)"));
    }
    let printable = !token.is_empty()
        && token.chars().count() <= MAX_TOKEN
        && !token.chars().any(|c| c.is_whitespace() || c.is_control());
    (!printable).then(|| {
        format!(
            "must be a status (`503`), a class (`5xx`), or a code of at most {MAX_TOKEN} \
             characters without spaces"
        )
    })
}
