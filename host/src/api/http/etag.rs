//! Entity tags (RFC 9110, section 8.8) of documents and executions, and the preconditions that name
//! them.

use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use http::{HeaderMap, HeaderValue, header};

/// The strong tag of a document: its version, and a digest of its state unless that is the usual
/// one (empty). `If-Match` compares only the version, because a pause changes the response and not
/// the document.
pub fn of_document(version: i64, state: &str) -> HeaderValue {
    let text = if state.is_empty() {
        format!("\"{version}\"")
    } else {
        format!("\"{version}-{}\"", &digest(state.as_bytes())[..12])
    };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// The weak tag of a state: equal texts have equal tags.
pub fn of_state(state: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&format!("W/\"{}\"", digest(state)))
        .unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

fn digest(text: &[u8]) -> String {
    hex::encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref()[..12])
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    Absent,
    /// `*`: the document must exist.
    Exists,
    /// The document must be at one of these versions. Empty if no tag can be one of a document.
    Versions(Vec<i64>),
}

/// Reads `If-Match` by hand, because the typed header compares whole tags.
pub fn if_match(headers: &HeaderMap) -> IfMatch {
    if !headers.contains_key(header::IF_MATCH) {
        return IfMatch::Absent;
    }
    let fields = headers.get_all(header::IF_MATCH).iter();
    let tags: Vec<&str> = fields
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .collect();
    if tags == ["*"] {
        return IfMatch::Exists;
    }
    IfMatch::Versions(tags.into_iter().filter_map(version).collect())
}

/// The version in a document's tag. A weak tag never matches (RFC 9110, section 13.1.1).
fn version(tag: &str) -> Option<i64> {
    let text = tag.strip_prefix('"')?.strip_suffix('"')?;
    let version = text.split_once('-').map_or(text, |(version, _)| version);
    version.parse().ok()
}

/// `If-None-Match: *`: the document must not exist yet.
pub fn must_be_new(headers: &HeaderMap) -> bool {
    headers.typed_get() == Some(IfNoneMatch::any())
}

/// Whether `If-None-Match` names this tag (weak comparison, RFC 9110, section 8.8.3.2).
pub fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tag = tag.to_str().ok().and_then(|text| text.parse::<ETag>().ok());
    match (headers.typed_get::<IfNoneMatch>(), tag) {
        (Some(condition), Some(tag)) => !condition.precondition_passes(&tag),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let field = |value: &&str| (name.clone(), HeaderValue::from_str(value).unwrap());
        values.iter().map(field).collect()
    }

    #[test]
    fn if_match_reads_versions_and_ignores_other_tags() {
        let read = |values: &[&str]| if_match(&headers(header::IF_MATCH, values));
        assert_eq!(if_match(&HeaderMap::new()), IfMatch::Absent);
        assert_eq!(read(&["*"]), IfMatch::Exists);
        assert_eq!(read(&["\"7\""]), IfMatch::Versions(vec![7]));
        let paused = of_document(7, "paused");
        assert_ne!(paused, of_document(7, ""));
        assert_eq!(
            read(&[paused.to_str().unwrap()]),
            IfMatch::Versions(vec![7])
        );
        for bad in ["7", "\"-7\"", "W/\"7\"", ""] {
            assert_eq!(read(&[bad]), IfMatch::Versions(Vec::new()), "{bad}");
        }
    }

    #[test]
    fn if_match_takes_lists() {
        let read = |values: &[&str]| if_match(&headers(header::IF_MATCH, values));
        assert_eq!(read(&["\"1\", \"2\""]), IfMatch::Versions(vec![1, 2]));
        assert_eq!(
            read(&["\"1\"", "\"2\",W/\"3\""]),
            IfMatch::Versions(vec![1, 2])
        );
    }

    #[test]
    fn if_none_match_compares_weakly_and_takes_lists() {
        let tag = of_state(b"one");
        assert_ne!(tag, of_state(b"two"));
        let text = tag.to_str().unwrap();
        let known = |value: &str| is_known(&headers(header::IF_NONE_MATCH, &[value]), &tag);
        assert!(known(&format!("\"x\", {text}")));
        assert!(known(text.trim_start_matches("W/")));
        assert!(known("*"));
        assert!(!known("\"x\""));
        assert!(!is_known(&HeaderMap::new(), &tag));
    }

    #[test]
    fn if_none_match_star_means_new() {
        assert!(must_be_new(&headers(header::IF_NONE_MATCH, &["*"])));
        assert!(!must_be_new(&headers(header::IF_NONE_MATCH, &["\"1\""])));
        assert!(!must_be_new(&HeaderMap::new()));
    }
}
