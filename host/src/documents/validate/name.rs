//! Names of documents and object types.

use super::Issue;

const MAX_NAME: usize = 63;

/// Whether a text is a name: 1 to 63 lower-case letters, digits, `-`, `_` and `.`, the first a
/// letter or digit.
pub(super) fn is_name(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= MAX_NAME
        && text.bytes().all(allowed)
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
}

/// Refuses a text that is not a name.
pub(super) fn name(pointer: &str, text: &str) -> Option<Issue> {
    let detail = || {
        let shown: String = text.chars().take(MAX_NAME + 1).collect();
        format!(
            "`{shown}` is not a valid name: use 1 to {MAX_NAME} of a-z, 0-9, `-`, `_` and `.`, \
             beginning with a letter or digit"
        )
    };
    (!is_name(text)).then(|| Issue::new(pointer, "name.invalid", detail()))
}
