//! Idempotency keys: the same key with the same content gets the first answer again.
//!
//! Only successful writes are remembered; a client may retry a refused write under the same key.

use std::collections::HashMap;

use crate::{object::ObjectKey, refusal::Refusal};

use super::objects::Success;

/// The keys of all successful writes, with their answers.
#[derive(Debug, Default)]
pub(crate) struct IdempotencyKeys {
    remembered: HashMap<String, (Content, Success)>,
}

/// The content of a write: the object and the digest of its body (none for a deletion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) target: ObjectKey,
    pub(crate) digest: Option<String>,
}

impl IdempotencyKeys {
    /// The first answer to this content under this key, or none if the key is new. Errors: the key
    /// was used for other content.
    pub(crate) fn replay(&self, key: &str, content: &Content) -> Result<Option<Success>, Refusal> {
        match self.remembered.get(key) {
            None => Ok(None),
            Some((first, answer)) if first == content => Ok(Some(*answer)),
            Some(_) => Err(Refusal::IdempotencyReused),
        }
    }

    /// Stores the answer to a successful write.
    pub(crate) fn remember(&mut self, key: String, content: Content, answer: Success) {
        self.remembered.insert(key, (content, answer));
    }
}
