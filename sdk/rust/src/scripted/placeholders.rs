//! The scripted channel's placeholders, and where a request may carry them.

use crate::{BodyPlaceholders, Request};

const OPENING: &str = "{{secret:";

/// The text that stands for a generation of a secret.
pub(super) fn placeholder(name: &str, generation: u32) -> String {
    format!("{OPENING}{name}#{generation}}}}}")
}

/// A host replaces placeholders in header values and query values, and in the body on request;
/// anywhere else the destination would get the placeholder itself.
///
/// # Panics
/// If there is one elsewhere.
pub(super) fn assert_replaceable(request: &Request) {
    let before_query = request.url().split('?').next().unwrap_or_default();
    assert!(
        !before_query.contains(OPENING),
        "a placeholder in host or path is never replaced: {before_query}"
    );
    for header in request.headers() {
        assert!(
            !header.name.contains(OPENING),
            "a placeholder in a header's name is never replaced: {}",
            header.name
        );
    }
    let body = request.body_text().unwrap_or_default();
    assert!(
        !body.contains(OPENING) || request.body_placeholders() != BodyPlaceholders::None,
        "the body carries a placeholder; ask for it with placeholders_in_json or placeholders_in_form"
    );
}
