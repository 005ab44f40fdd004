//! The four actions of a job.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// The action that a job requests from the destination.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
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
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The number that stands for the action in the store.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The action of a stored number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The word used in the API.
    pub const fn as_str(self) -> &'static str {
        self.into_str()
    }

    /// The action to send if the connector declares only `declared`: the action itself, or `upsert`
    /// instead of `create` and `update`. `None`: the connector does not support it.
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
