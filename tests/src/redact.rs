//! Makes two answers of the same kind equal: ids, times, durations and digests give way to their
//! kind.

use serde_json::{Map, Value};

/// A value with everything that differs from run to run replaced. Works at every depth, inside of
/// texts for ids.
#[must_use]
pub fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), field(name, value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::String(text) => Value::String(text_without_ids(text)),
        other => other.clone(),
    }
}

fn field(name: &str, value: &Value) -> Value {
    let is_time = name.ends_with("_at") || matches!(name, "at" | "eta" | "until");
    match (name, value) {
        (_, Value::String(_)) if is_time => Value::from("<time>"),
        ("trace_id", Value::String(_)) => Value::from("<trace>"),
        ("idempotency_key" | "digest", Value::String(_)) => Value::from("<digest>"),
        ("duration_ms" | "call" | "size_bytes", Value::Number(_)) => {
            Value::from(format!("<{name}>"))
        }
        _ => redacted(value),
    }
}

/// A text with `exe_…`, `job_…`, `key_…` and `egk_…` shortened to their prefix, and the ports of
/// this machine to `PORT`.
#[must_use]
pub fn text_without_ids(text: &str) -> String {
    let mut shown = text.to_owned();
    for prefix in ["exe_", "job_", "key_", "egk_"] {
        shown = without(&shown, prefix, "…", |c| c.is_ascii_alphanumeric());
    }
    without(&shown, "127.0.0.1:", "PORT", |c| c.is_ascii_digit())
}

/// The characters behind each `prefix` that are `part` of what varies, replaced by `stand_in`. Only
/// whole words count.
fn without(text: &str, prefix: &str, stand_in: &str, part: impl Fn(char) -> bool) -> String {
    let mut pieces = text.split(prefix);
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(&part);
        let varies = rest.len() < piece.len()
            && !shown.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        shown.push_str(prefix);
        shown.push_str(if varies { stand_in } else { "" });
        shown.push_str(if varies { rest } else { piece });
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_varies_gives_way_to_its_kind() {
        let first = json!({"id": "exe_01a", "links": ["/v1/executions/exe_01a/jobs"], "created_at": "2026-01-01T00:00:00Z", "attempts": 1});
        let second = json!({"id": "exe_02b", "links": ["/v1/executions/exe_02b/jobs"], "created_at": "2026-01-02T00:00:00Z", "attempts": 1});
        assert_eq!(redacted(&first), redacted(&second));
        assert_eq!(redacted(&first)["links"][0], "/v1/executions/exe_…/jobs");
        assert_eq!(
            text_without_ids("http://127.0.0.1:4711/x, own_key_ring"),
            "http://127.0.0.1:PORT/x, own_key_ring"
        );
    }
}
