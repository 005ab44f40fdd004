//! The placeholders of the scripted channel, and the places where a request may have them.

use crate::{BodyPlaceholders, Request};

const OPENING: &str = "{{secret:";

/// The placeholder of one generation of a secret.
pub(super) fn placeholder(name: &str, generation: u32) -> String {
    format!("{OPENING}{name}#{generation}}}}}")
}

/// Checks that placeholders only occur where a host replaces them: in header values, in query
/// values and, on request, in the body.
///
/// # Panics
/// If a placeholder occurs in another place.
pub(super) fn assert_replaceable(request: &Request) {
    let before_query = request.url().split('?').next().unwrap_or_default();
    assert!(
        !before_query.contains(OPENING),
        "the host never replaces a placeholder in host or path: {before_query}"
    );
    for header in request.headers() {
        assert!(
            !header.name.contains(OPENING),
            "the host never replaces a placeholder in a header's name: {}",
            header.name
        );
    }
    let body = request.body_text().unwrap_or_default();
    assert!(
        !body.contains(OPENING) || request.body_placeholders() != BodyPlaceholders::None,
        "the body has a placeholder; call placeholders_in_json or placeholders_in_form"
    );
}
