//! Makes answers comparable: replaces ids, times, durations and digests by placeholders.

use serde_json::{Map, Value};

/// A value without parts that differ from run to run. It also replaces ids inside of strings.
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

/// Replaces the characters after each `prefix` that satisfy `part` by `stand_in`. The prefix must
/// begin a word.
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
    fn varying_values_are_replaced() {
        let view = |id: &str, created_at: &str| {
            let link = format!("/v1/executions/{id}/jobs");
            json!({"id": id, "links": [link], "created_at": created_at, "attempts": 1})
        };
        let first = view("exe_01a", "2026-01-01T00:00:00Z");
        let second = view("exe_02b", "2026-01-02T00:00:00Z");
        assert_eq!(redacted(&first), redacted(&second));
        assert_eq!(redacted(&first)["links"][0], "/v1/executions/exe_…/jobs");
        assert_eq!(
            text_without_ids("http://127.0.0.1:4711/x, own_key_ring"),
            "http://127.0.0.1:PORT/x, own_key_ring"
        );
    }
}
