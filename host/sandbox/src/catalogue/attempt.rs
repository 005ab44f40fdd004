//! One item on its way into the store, read and checked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{digest::canonical_digest, object::ObjectKey, refusal::Refusal};

use super::{body::Body, objects::Precondition};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Create,
    Update,
    Upsert,
    Delete,
}

/// One item that reached the shop.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) target: ObjectKey,
    /// None if the client named no known action.
    pub(crate) action: Option<Action>,
    pub(crate) idempotency_key: Option<String>,
    /// The canonical digest of the body, valid or not.
    pub(crate) digest: Option<String>,
    /// The write to apply, or the reason why the item is invalid.
    pub(crate) work: Result<Work, Refusal>,
}

#[derive(Debug)]
pub(crate) enum Work {
    Put(Precondition, Arc<Body>),
    Delete(Precondition),
}

impl Attempt {
    /// Reads one item. `version` is the version that the client expects the object to have.
    pub(crate) fn read(
        target: ObjectKey,
        action: Action,
        version: Option<&str>,
        idempotency_key: Option<String>,
        body: Option<Value>,
    ) -> Self {
        let expected = version.map(Precondition::version);
        let precondition = match action {
            Action::Create => Precondition::Absent,
            Action::Update => expected.unwrap_or(Precondition::Present),
            Action::Upsert | Action::Delete => expected.unwrap_or(Precondition::None),
        };
        let body = body.filter(|_| action != Action::Delete);
        let digest = body.as_ref().map(canonical_digest);
        let work = match (action, body.zip(digest.clone())) {
            (Action::Delete, _) => Ok(Work::Delete(precondition)),
            (_, None) => Err(Refusal::body_invalid("", "is required")),
            (_, Some((value, digest))) => Body::check(&target, value, digest)
                .map(|body| Work::Put(precondition, Arc::new(body))),
        };
        Self {
            target,
            action: Some(action),
            idempotency_key,
            digest,
            work,
        }
    }

    /// An item that is invalid.
    pub(crate) fn unreadable(target: ObjectKey, refusal: Refusal) -> Self {
        Self {
            target,
            action: None,
            idempotency_key: None,
            digest: None,
            work: Err(refusal),
        }
    }
}
