//! The four actions of a job.

use serde::{Deserialize, Serialize};

/// The action that a job requests from the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Create the object, which does not exist yet.
    Create,
    /// Change the object, which exists.
    Update,
    Delete,
    /// Create or replace the object.
    Upsert,
}

impl Action {
    /// All actions, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Upsert];

    /// The number that stands for the action in the store.
    #[must_use]
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The action of a stored number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code)
            .ok()
            .and_then(|i| Self::ALL.get(i).copied())
    }

    /// The word used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Upsert => "upsert",
        }
    }

    /// The action to send if the connector declares only `declared`: the action itself, or `upsert`
    /// instead of `create` and `update`. `None`: the connector does not support it.
    #[must_use]
    pub fn fallback(self, declared: &[Self]) -> Option<Self> {
        if declared.contains(&self) {
            return Some(self);
        }
        match self {
            Self::Create | Self::Update if declared.contains(&Self::Upsert) => Some(Self::Upsert),
            _ => None,
        }
    }
}
