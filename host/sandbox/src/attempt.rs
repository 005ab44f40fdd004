//! One item on its way into the store: what is asked, read and checked, and how whole calls of
//! items are carried out under the faults drawn for them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    body::Body,
    catalogue::{Precondition, Success},
    digest::canonical_digest,
    floor::Floor,
    gate::Admitted,
    object::ObjectKey,
    refusal::Refusal,
};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Create,
    Update,
    Upsert,
    Delete,
}

/// An item that reached the shop.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) target: ObjectKey,
    /// None if the client named none that exists.
    pub(crate) action: Option<Action>,
    pub(crate) idempotency_key: Option<String>,
    /// The canonical digest of the body that is to be put, also of a wrong one.
    pub(crate) digest: Option<String>,
    /// The work, or why the item cannot be read.
    pub(crate) work: Result<Work, Refusal>,
}

/// What is to be done to an object.
#[derive(Debug)]
pub(crate) enum Work {
    Put(Precondition, Arc<Body>),
    Delete(Precondition),
}

impl Attempt {
    /// Reads one item: `version` is what the client takes for the object's current version.
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

    /// An item that cannot be read.
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

/// The answer to one item.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Result<Success, Refusal>,
    /// Answered from memory because of the idempotency key.
    pub(crate) replayed: bool,
}

/// A call of items that was carried out.
#[derive(Debug)]
pub(crate) struct Performed {
    /// One answer per item, in order.
    pub(crate) answers: Vec<Answer>,
    /// The answers must not be seen.
    pub(crate) dropped: bool,
}

/// Carries a call out, item by item, under the faults drawn for it.
///
/// # Errors
/// The call was drawn to fail; its items are logged and nothing is applied.
pub(crate) async fn perform(
    floor: &Floor,
    call: &Admitted,
    attempts: &[Attempt],
) -> Result<Performed, Refusal> {
    if call.fate.error_5xx {
        floor.store().fail(attempts, call.seq, &floor.clock);
        return Err(Refusal::Unavailable);
    }
    call.fate.wait().await;
    let taken = floor.store().take(attempts, call.seq, &floor.clock);
    if taken.revokes_tokens {
        floor.tokens().revoke_all();
    }
    Ok(Performed {
        answers: taken.answers,
        dropped: call.fate.drop_after_write && taken.applied,
    })
}
