//! The digest by which bodies are compared.
//!
//! Two JSON values have the same digest if they differ only in white space and in the order of
//! members. Numbers are compared as written (`1` and `1.0` differ).

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

/// The SHA-256, in lowercase hex, of the value's canonical JSON: without white space, and with the
/// members of every object sorted by the bytes of their names.
pub fn canonical_digest(value: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(value, &mut canonical);
    hex::encode(digest(&SHA256, canonical.as_bytes()))
}

/// Sorts the members explicitly, because `serde_json` keeps the sender's order if any crate in the
/// build enables that feature.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (position, (name, member)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_canonical(element, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digest_is_the_sha256_of_the_sorted_text() {
        let value: Value =
            serde_json::from_str(r#"{ "b": true, "a": [1, {"y": "\"", "x": null}] }"#).unwrap();
        let text = br#"{"a":[1,{"x":null,"y":"\""}],"b":true}"#;
        assert_eq!(canonical_digest(&value), hex::encode(digest(&SHA256, text)));
        assert_eq!(
            canonical_digest(&json!({})),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn digest_distinguishes_contents() {
        assert_ne!(
            canonical_digest(&json!([1, 2])),
            canonical_digest(&json!([2, 1]))
        );
        assert_ne!(canonical_digest(&json!("1")), canonical_digest(&json!(1)));
    }
}
