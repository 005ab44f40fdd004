//! Entity tags (RFC 9110, section 8.8) of documents and executions, and the preconditions that name
//! them.

use http::{HeaderMap, HeaderValue, header};

use super::problem::ApiError;

/// The strong tag of a document: its version, and a digest of its state where that is not the
/// ordinary one (empty). `If-Match` looks at the version only: a pause changes what is answered,
/// and nothing that somebody wrote.
#[must_use]
pub fn of_document(version: i64, state: &str) -> HeaderValue {
    let text = if state.is_empty() {
        format!("\"{version}\"")
    } else {
        format!("\"{version}-{}\"", &digest(state.as_bytes())[..12])
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// The weak tag of a state: equal texts have equal tags.
#[must_use]
pub fn of_state(state: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&format!("W/\"{}\"", digest(state)))
        .unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

fn digest(text: &[u8]) -> String {
    hex::encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref()[..12])
}

/// What `If-Match` asks of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    Absent,
    /// That it exists: `*`.
    Exists,
    /// That it is at this version.
    Version(i64),
}

/// Reads `If-Match`.
///
/// # Errors
/// [`ApiError::Precondition`] for a tag that no version of a document ever has.
pub fn if_match(headers: &HeaderMap) -> Result<IfMatch, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(IfMatch::Absent);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(IfMatch::Exists);
    }
    text.strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .and_then(|t| {
            t.split_once('-')
                .map_or(t, |(version, _)| version)
                .parse()
                .ok()
        })
        .map(IfMatch::Version)
        .ok_or_else(|| {
            ApiError::Precondition(format!("If-Match {text} is not an ETag of this document"))
        })
}

/// `If-None-Match: *`: the document must not exist yet.
#[must_use]
pub fn must_be_new(headers: &HeaderMap) -> bool {
    headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|v| v.as_bytes() == b"*")
}

/// Whether `If-None-Match` names this tag (weak comparison, RFC 9110, section 8.8.3.2).
#[must_use]
pub fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(opaque) else {
        return false;
    };
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|candidate| candidate.trim() == "*" || opaque(candidate) == tag)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn preconditions_are_read() {
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), IfMatch::Absent);
        assert_eq!(
            if_match(&headers(header::IF_MATCH, "*")).unwrap(),
            IfMatch::Exists
        );
        assert_eq!(
            if_match(&headers(header::IF_MATCH, "\"7\"")).unwrap(),
            IfMatch::Version(7)
        );
        let paused = of_document(7, "paused");
        assert_ne!(paused, of_document(7, ""));
        assert_eq!(
            if_match(&headers(header::IF_MATCH, paused.to_str().unwrap())).unwrap(),
            IfMatch::Version(7)
        );
        assert!(if_match(&headers(header::IF_MATCH, "7")).is_err());
        assert!(if_match(&headers(header::IF_MATCH, "\"-7\"")).is_err());
        assert!(if_match(&headers(header::IF_MATCH, "W/\"7\"")).is_err());
    }

    #[test]
    fn weak_comparison_ignores_the_prefix_and_takes_lists() {
        let tag = of_state(b"one");
        assert_ne!(tag, of_state(b"two"));
        let text = tag.to_str().unwrap();
        assert!(is_known(
            &headers(header::IF_NONE_MATCH, &format!("\"x\", {text}")),
            &tag
        ));
        assert!(is_known(
            &headers(header::IF_NONE_MATCH, text.trim_start_matches("W/")),
            &tag
        ));
        assert!(!is_known(&headers(header::IF_NONE_MATCH, "\"x\""), &tag));
        assert!(!is_known(&HeaderMap::new(), &tag));
    }
}
