//! Objects, their names at the destination, and their 64-bit hashes.

use serde::{Deserialize, Serialize};

/// An object as the source knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectKey {
    /// Its type: `product`, `category` … The set is open.
    #[serde(rename = "type")]
    pub object_type: String,
    /// Its id in the source.
    pub id: String,
}

impl ObjectKey {
    /// A key from its two parts.
    pub fn new(object_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self {
            object_type: object_type.into(),
            id: id.into(),
        }
    }

    /// The hash under which the store finds the object. Two objects with the same hash are only
    /// sent one after the other.
    pub fn hash(&self) -> ObjectHash {
        ObjectHash(hash64(&[self.object_type.as_bytes(), self.id.as_bytes()]))
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.object_type, self.id)
    }
}

/// A 64-bit hash of an [`ObjectKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectHash(pub i64);

/// An object at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Its type there, as the connector names it.
    pub kind: String,
    pub id: String,
    /// The destination's version or ETag.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// A link for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// The part of the remote, if `id` alone does not name it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub_id: Option<String>,
}

/// FNV-1a over the parts with a separator that no UTF-8 text contains, finished with an avalanche
/// step. It must never change, because the store keeps the result.
pub(crate) fn hash64(parts: &[&[u8]]) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.iter().copied().chain(std::iter::once(0xff)) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ (hash >> 29)).cast_signed()
}
