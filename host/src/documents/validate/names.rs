//! Names of documents and object types.

use super::{Issue, range};
use crate::documents::model::SubscriptionDocument;

const MAX_NAME: usize = 63;
/// The largest share of a subscription.
const MAX_WEIGHT: u64 = 1000;

/// What is wrong with a subscription.
#[must_use]
pub fn subscription(document: &SubscriptionDocument) -> Vec<Issue> {
    let weight = range("/weight", document.weight.into(), 1, MAX_WEIGHT, "");
    name("/name", &document.name)
        .into_iter()
        .chain(weight)
        .collect()
}

/// Whether a text is a name: lower-case letters, digits, `-`, `_` and `.`, first a letter or digit,
/// at most 63.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= MAX_NAME
        && text.bytes().all(allowed)
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
}

/// An issue if a text is not a name.
pub(super) fn name(pointer: &str, text: &str) -> Option<Issue> {
    let detail = || {
        let shown: String = text.chars().take(MAX_NAME + 1).collect();
        format!(
            "`{shown}` is not a name: 1 to {MAX_NAME} of a-z, 0-9, `-`, `_` and `.`, the first a letter or digit"
        )
    };
    (!is_name(text)).then(|| Issue::new(pointer, "name.invalid", detail()))
}
