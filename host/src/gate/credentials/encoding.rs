//! Texts made fit for the place that they are put into.

use std::fmt::Write as _;

/// Percent-encoded but for the unreserved characters (RFC 3986, 2.3).
pub fn percent(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    encoded
}

/// The inside of a JSON string (RFC 8259, 7).
pub fn json_content(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The text of a query or form, or of a part of it: `+` and percent-encoding resolved.
pub fn decode_form(text: &str) -> String {
    // Made into one value, so that `=` and `&` in it stay where they are.
    let pair = format!("v={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, v)| v.into_owned())
}

/// A URL in which the braces of a placeholder are readable, for people.
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
