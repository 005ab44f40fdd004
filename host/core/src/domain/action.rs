//! The four things a job can ask for.

use serde::{Deserialize, Serialize};

/// What a job asks the destination for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Make the object; it is not there yet.
    Create,
    /// Change the object; it is there.
    Update,
    Delete,
    /// Make or replace the object, whichever applies.
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

    /// What is sent for this action where the connector declares only `declared`: the action
    /// itself, or `upsert` in place of `create` and `update`. `None`: the connector does not do it.
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
