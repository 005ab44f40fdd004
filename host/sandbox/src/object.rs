//! Object types and object keys.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The types of objects that the shop accepts. Paths, references and JSON use the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ObjectType {
    Category,
    Brand,
    Product,
    Offer,
}

impl ObjectType {
    pub(crate) const ALL: [Self; 4] = [Self::Category, Self::Brand, Self::Product, Self::Offer];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Brand => "brand",
            Self::Product => "product",
            Self::Offer => "offer",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The type and the id of one object. Serialized as a reference, `{"type","id"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct ObjectKey {
    #[serde(rename = "type")]
    pub(crate) object_type: ObjectType,
    /// Chosen by the client.
    pub(crate) id: Arc<str>,
}

impl ObjectKey {
    pub(crate) fn new(object_type: ObjectType, id: &str) -> Self {
        Self {
            object_type,
            id: Arc::from(id),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.object_type, self.id)
    }
}
