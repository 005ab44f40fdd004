//! The partition key: jobs with the same key are sent one after the other.

use serde::{Deserialize, Serialize};

use super::object::{ObjectKey, hash64};

/// A 64-bit hash of a partition key inside one connection. Two keys with one hash are at worst
/// served as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub i64);

impl KeyHash {
    /// The hash of a key's text.
    pub fn of(key: &str) -> Self {
        Self(hash64(&[key.as_bytes()]))
    }
}

/// The longest template. Each of its placeholders may become a whole id.
const MAX_TEMPLATE_BYTES: usize = 200;

/// A channel's rule for the key of a job without a key of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(from = "String", into = "String")]
pub enum PartitionRule {
    /// One key per object: `product:4711`.
    #[default]
    Object,
    /// One key per object type: `product`.
    Type,
    /// One key for the whole channel: `*`.
    Channel,
    /// A text with `{type}` and `{id}`, and `{id:N}` for the first N characters of the id.
    Template(String),
}

impl PartitionRule {
    /// The key of an object under this rule.
    pub fn key(&self, object: &ObjectKey) -> String {
        match self {
            Self::Object => object.to_string(),
            Self::Type => object.object_type.clone(),
            Self::Channel => "*".to_owned(),
            Self::Template(template) => fill(template, object),
        }
    }

    /// Checks the rule for unknown placeholders and unclosed braces.
    ///
    /// # Errors
    /// With a sentence for the author of the rule.
    pub fn validate(&self) -> Result<(), String> {
        let Self::Template(template) = self else {
            return Ok(());
        };
        if template.len() > MAX_TEMPLATE_BYTES {
            return Err(format!(
                "the partition template has {} bytes; it may have at most {MAX_TEMPLATE_BYTES}",
                template.len()
            ));
        }
        let mut rest = template.as_str();
        let mut placeholders = 0;
        while let Some(start) = rest.find('{') {
            let end = rest[start..]
                .find('}')
                .ok_or_else(|| format!("partition template `{template}`: a `{{` is not closed"))?;
            let name = &rest[start + 1..start + end];
            let known = matches!(name, "type" | "id")
                || name
                    .strip_prefix("id:")
                    .is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n > 0));
            if !known {
                return Err(format!(
                    "partition template `{template}`: `{{{name}}}` is not one of {{type}}, {{id}}, \
                     {{id:N}}"
                ));
            }
            placeholders += 1;
            rest = &rest[start + end + 1..];
        }
        if placeholders == 0 {
            return Err(format!(
                "partition must be `object`, `type`, `channel` or a template with {{type}}, {{id}} \
                 or \
                 {{id:N}}, not `{template}`"
            ));
        }
        Ok(())
    }
}

impl From<String> for PartitionRule {
    fn from(text: String) -> Self {
        match text.as_str() {
            "object" => Self::Object,
            "type" => Self::Type,
            "channel" => Self::Channel,
            _ => Self::Template(text),
        }
    }
}

impl From<PartitionRule> for String {
    fn from(rule: PartitionRule) -> Self {
        match rule {
            PartitionRule::Object => "object".to_owned(),
            PartitionRule::Type => "type".to_owned(),
            PartitionRule::Channel => "channel".to_owned(),
            PartitionRule::Template(text) => text,
        }
    }
}

fn fill(template: &str, object: &ObjectKey) -> String {
    let mut key = String::with_capacity(template.len() + object.id.len());
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        key.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else {
            break;
        };
        match &rest[start + 1..start + end] {
            "type" => key.push_str(&object.object_type),
            "id" => key.push_str(&object.id),
            other => {
                let length = other
                    .strip_prefix("id:")
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(usize::MAX);
                key.extend(object.id.chars().take(length));
            }
        }
        rest = &rest[start + end + 1..];
    }
    key.push_str(rest);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_make_keys() {
        let object = ObjectKey::new("product", "4711");
        for (rule, key) in [
            ("object", "product:4711"),
            ("type", "product"),
            ("channel", "*"),
            ("{type}/{id:2}", "product/47"),
        ] {
            assert_eq!(PartitionRule::from(rule.to_owned()).key(&object), key);
        }
        assert!(PartitionRule::Template("{shop}".into()).validate().is_err());
        assert!(PartitionRule::Template("objekt".into()).validate().is_err());
        assert!(PartitionRule::Template("{id".into()).validate().is_err());
        assert!(PartitionRule::Template("{id:0}".into()).validate().is_err());
        assert!(
            PartitionRule::Template("{id}".repeat(51))
                .validate()
                .is_err()
        );
        assert!(
            PartitionRule::Template("{type}-{id:3}".into())
                .validate()
                .is_ok()
        );
    }
}
