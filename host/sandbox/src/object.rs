//! What the shop holds: the types and the names of its objects.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The types of objects that the shop takes, named in paths and references as in JSON.
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

    /// The type's name in paths, references and reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Brand => "brand",
            Self::Product => "product",
            Self::Offer => "offer",
        }
    }

    /// The type of that name, or the refusal that says that there is none.
    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| Refusal::TypeUnknown {
                name: name.to_owned(),
            })
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One object's name: its type and its id. Serialised as a reference, `{"type","id"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct ObjectKey {
    #[serde(rename = "type")]
    pub(crate) object_type: ObjectType,
    /// The object's id, as the client chose it.
    pub(crate) id: Arc<str>,
}

impl ObjectKey {
    /// The object of that type and id.
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
