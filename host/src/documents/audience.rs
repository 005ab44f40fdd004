//! The subscriptions that may use a source or a channel.
//!
//! In a document, an audience is a list of names, or `["*"]` for all subscriptions.

use serde::{Deserialize, Serialize};

/// The entry that stands for all subscriptions.
pub const ALL: &str = "*";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub enum Audience {
    Everybody,
    /// Only these. Validation refuses an empty list.
    Named(Vec<String>),
}

impl Audience {
    pub const fn everybody() -> Self {
        Self::Everybody
    }

    /// A document without the field: nobody.
    pub const fn missing() -> Self {
        Self::Named(Vec::new())
    }

    pub fn contains(&self, subscription: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::Named(names) => names.iter().any(|name| name == subscription),
        }
    }

    /// Whether the document belongs to this subscription alone.
    pub fn is_only(&self, subscription: &str) -> bool {
        matches!(self, Self::Named(names) if names.iter().all(|name| name == subscription))
            && self.contains(subscription)
    }

    /// The names that it lists; none if it is for everybody.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Everybody => &[],
            Self::Named(names) => names,
        }
    }

    /// The part of it that a member may see: `*`, or the member's own name.
    pub fn seen_by(&self, subscription: &str) -> Self {
        match self {
            Self::Everybody => Self::Everybody,
            Self::Named(_) => Self::Named(vec![subscription.to_owned()]),
        }
    }
}

impl From<Vec<String>> for Audience {
    fn from(names: Vec<String>) -> Self {
        match names.as_slice() {
            [only] if only == ALL => Self::Everybody,
            _ => Self::Named(names),
        }
    }
}

impl From<Audience> for Vec<String> {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Everybody => vec![ALL.to_owned()],
            Audience::Named(names) => names,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn audience(names: &[&str]) -> Audience {
        serde_json::from_value(serde_json::json!(names)).unwrap()
    }

    #[test]
    fn audience_contains_the_listed_subscriptions_or_all() {
        assert!(audience(&["*"]).contains("acme") && !audience(&["*"]).is_only("acme"));
        assert!(audience(&["acme"]).contains("acme") && audience(&["acme"]).is_only("acme"));
        let two = audience(&["acme", "other"]);
        assert!(two.contains("other") && !two.is_only("other") && !two.contains("third"));
        for nobody in [audience(&[]), Audience::missing()] {
            assert!(!nobody.contains("acme") && !nobody.is_only("acme"));
        }
        // Only the lone entry stands for all; validation refuses it in a list.
        assert!(!audience(&["*", "acme"]).contains("other"));
    }

    #[test]
    fn audience_reads_back_as_written_and_hides_other_members() {
        for names in [&["*"][..], &["acme", "other"]] {
            assert_eq!(
                serde_json::to_value(audience(names)).unwrap(),
                serde_json::json!(names)
            );
        }
        assert_eq!(
            audience(&["acme", "other"]).seen_by("other"),
            audience(&["other"])
        );
        assert_eq!(audience(&["*"]).seen_by("other"), audience(&["*"]));
    }
}
