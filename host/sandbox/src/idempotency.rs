//! Idempotency keys: the same key with the same content is answered as the first time.
//!
//! Keys are kept for writes that succeeded; a refused write may be tried again under its key.

use std::collections::HashMap;

use crate::{catalogue::Success, object::ObjectKey, refusal::Refusal};

/// The keys of all successful writes, with their answers.
#[derive(Debug, Default)]
pub(crate) struct IdempotencyKeys {
    remembered: HashMap<String, (Content, Success)>,
}

/// What a key stands for: an object and the digest of its body, none for a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) target: ObjectKey,
    pub(crate) digest: Option<String>,
}

impl IdempotencyKeys {
    /// The first answer if the key was used for this content, none if it is new.
    ///
    /// # Errors
    /// The key was used for something else.
    pub(crate) fn replay(&self, key: &str, content: &Content) -> Result<Option<Success>, Refusal> {
        match self.remembered.get(key) {
            None => Ok(None),
            Some((first, answer)) if first == content => Ok(Some(*answer)),
            Some(_) => Err(Refusal::IdempotencyReused),
        }
    }

    /// Keeps the answer to a successful write.
    pub(crate) fn remember(&mut self, key: String, content: Content, answer: Success) {
        self.remembered.insert(key, (content, answer));
    }
}
