//! Encodings for the places that a secret may be put into.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// Everything but the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub fn percent(text: impl AsRef<[u8]>) -> String {
    percent_encoding::percent_encode(text.as_ref(), RESERVED).to_string()
}

/// The content of a JSON string (RFC 8259, 7).
pub fn json_content(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The text of a query or form, or of a part of it, with `+` and percent-encoding decoded.
pub fn decode_form(text: &str) -> String {
    // Parsed as a single value, so that `=` and `&` stay in it.
    let pair = format!("v={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, v)| v.into_owned())
}

/// A URL with readable placeholders, for people.
pub fn readable_braces(url: &str) -> String {
    let mut shown = url.to_owned();
    for (encoded, plain) in [
        ("%7B", "{"),
        ("%7b", "{"),
        ("%7D", "}"),
        ("%7d", "}"),
        ("%3A", ":"),
        ("%3a", ":"),
    ] {
        shown = shown.replace(encoded, plain);
    }
    shown
}
