//! Finds the references in bodies by the manifest's JSON pointers.

use std::collections::HashSet;

use egression_core::domain::object::ObjectKey;
use serde_json::Value;

use crate::runtime::{ReferencePointer, ResolvedReference};

/// The references of a body, not looked up yet, in the order of the manifest, without repeats.
pub fn find(body: &Value, pointers: &[ReferencePointer]) -> Vec<ResolvedReference> {
    let mut found: Vec<ResolvedReference> = Vec::new();
    let mut known: HashSet<ObjectKey> = HashSet::new();
    for pointer in pointers {
        let mut matches = vec![(String::new(), body)];
        for segment in pointer.pointer.split('/').skip(1) {
            matches = matches
                .into_iter()
                .flat_map(|(path, value)| step(path, value, segment))
                .collect();
        }
        for (path, value) in matches {
            if let Some(key) = reference(value, &pointer.object_type)
                && known.insert(key.clone())
            {
                found.push(ResolvedReference {
                    pointer: path,
                    target: key,
                    remotes: Vec::new(),
                });
            }
        }
    }
    found
}

fn step<'a>(path: String, value: &'a Value, segment: &str) -> Vec<(String, &'a Value)> {
    if segment == "*" {
        return match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(i, v)| (format!("{path}/{i}"), v))
                .collect(),
            _ => Vec::new(),
        };
    }
    let next = match value {
        Value::Array(items) => segment.parse::<usize>().ok().and_then(|i| items.get(i)),
        // RFC 6901, section 4: first `~1` becomes `/`, then `~0` becomes `~`.
        other => other.get(segment.replace("~1", "/").replace("~0", "~")),
    };
    next.map(|v| (format!("{path}/{segment}"), v))
        .into_iter()
        .collect()
}

fn reference(value: &Value, object_type: &str) -> Option<ObjectKey> {
    match value {
        Value::String(id) => Some(ObjectKey::new(object_type, id)),
        Value::Object(fields) => {
            let id = fields.get("id")?.as_str()?;
            let object_type = fields
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or(object_type);
            Some(ObjectKey::new(object_type, id))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_by_pointer() {
        let body = serde_json::json!({
            "brand": {"type": "brand", "id": "b"},
            "categories": [{"id": "c1"}, "c2", {"id": "c1"}, 7],
            "a/b": "x",
        });
        let pointers = [
            ("/brand", "brand"),
            ("/categories/*", "category"),
            ("/missing/*", "x"),
            ("/a~1b", "slash"),
        ]
        .map(|(pointer, object_type)| ReferencePointer {
            pointer: pointer.into(),
            object_type: object_type.into(),
        });
        let found: Vec<String> = find(&body, &pointers)
            .into_iter()
            .map(|found| format!("{} {}", found.pointer, found.target))
            .collect();
        assert_eq!(
            found,
            [
                "/brand brand:b",
                "/categories/0 category:c1",
                "/categories/1 category:c2",
                "/a~1b slash:x"
            ]
        );
    }
}
