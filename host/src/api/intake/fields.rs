//! What is wrong with one submission by itself, each place with a sentence.
//!
//! Promises that the report stays small however large the submission is: [`MAX_ITEM_ERRORS`]
//! places, and of every text that it repeats the beginning.

use egression_core::domain::action::Action;
use egression_core::domain::object::ObjectKey;
use egression_core::time::Wall;

use super::submission::{self, Submission};
use crate::api::http::problem::FieldError;
use crate::store::rows::Context;

/// The longest object id and object type in bytes.
pub const MAX_OBJECT_ID_BYTES: usize = 512;
/// The longest partition key and `client_ref` in bytes.
pub const MAX_WORD_BYTES: usize = 200;
/// Pairs of a context, those of the execution included.
pub const MAX_CONTEXT_PAIRS: usize = 10;
/// The longest name or value in a context, in bytes.
pub const MAX_CONTEXT_BYTES: usize = 256;
/// Wrong places that are reported of one submission; the rest is counted.
pub const MAX_ITEM_ERRORS: usize = 20;
/// Bytes that a sentence repeats of what was sent.
const SHOWN_BYTES: usize = 60;

/// The beginning of a text that was sent, for a sentence about it.
pub fn shown(text: &str) -> String {
    submission::excerpt(text.as_bytes(), SHOWN_BYTES)
}

/// Whether an object can be named in a report: what is longer than any object is not kept.
pub fn is_nameable(object: &ObjectKey) -> bool {
    object.id.len() <= MAX_OBJECT_ID_BYTES && object.object_type.len() <= MAX_OBJECT_ID_BYTES
}

/// Collects what is wrong with one submission.
#[derive(Default)]
pub struct Check {
    errors: Vec<FieldError>,
    omitted: u64,
}

impl Check {
    /// Notes a wrong place. What `detail` repeats of the submission goes through [`shown`].
    pub fn wrong(&mut self, pointer: &str, code: &str, detail: String) {
        if self.errors.len() < MAX_ITEM_ERRORS {
            self.errors.push(FieldError::new(pointer, code, detail));
        } else {
            self.omitted += 1;
        }
    }

    /// Nothing is wrong so far.
    pub const fn is_good(&self) -> bool {
        self.errors.is_empty()
    }

    /// All that is wrong, as far as it is kept, and how much is not.
    pub fn into_errors(mut self) -> Vec<FieldError> {
        if self.omitted > 0 {
            self.errors.push(FieldError::new(
                "",
                "more_errors",
                format!("{} more places are wrong", self.omitted),
            ));
        }
        self.errors
    }

    pub fn need<T>(&mut self, pointer: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.wrong(
                pointer,
                "required",
                format!("`{}` is required", &pointer[1..]),
            );
        }
        value
    }

    pub fn object_ids(&mut self, ids: Option<Vec<String>>) -> Vec<String> {
        let ids = self.need("/object_ids", ids).unwrap_or_default();
        if ids.is_empty()
            && self
                .errors
                .last()
                .is_none_or(|e| e.pointer != "/object_ids")
        {
            self.wrong(
                "/object_ids",
                "required",
                "at least one object id is needed".to_owned(),
            );
        }
        if let Some(at) = ids.iter().position(|id| {
            id.is_empty() || id.len() > MAX_OBJECT_ID_BYTES || id.chars().any(char::is_control)
        }) {
            let detail =
                format!("expected 1 to {MAX_OBJECT_ID_BYTES} bytes without control characters");
            self.wrong(&format!("/object_ids/{at}"), "invalid_value", detail);
        }
        ids
    }

    fn instant(&mut self, pointer: &str, text: Option<&str>) -> Option<Wall> {
        let text = text?;
        let instant = Wall::parse_rfc3339(text).ok();
        if instant.is_none() {
            self.wrong(
                pointer,
                "invalid_value",
                format!(
                    "`{}` is no instant, expected RFC 3339 like 2026-11-21T08:00:00Z",
                    shown(text)
                ),
            );
        }
        instant
    }

    pub fn times(&mut self, item: &Submission) -> (Option<Wall>, Option<Wall>) {
        let scheduled = self.instant("/scheduled_at", item.scheduled_at.as_deref());
        let expires = self.instant("/expires_at", item.expires_at.as_deref());
        if let (Some(scheduled), Some(expires)) = (scheduled, expires)
            && expires <= scheduled
        {
            self.wrong(
                "/expires_at",
                "invalid_value",
                "expected an instant after `scheduled_at`".to_owned(),
            );
        }
        (scheduled, expires)
    }

    pub fn priority(&mut self, priority: Option<i64>) -> i8 {
        let priority = priority.unwrap_or(0);
        if !(-10..=10).contains(&priority) {
            self.wrong(
                "/priority",
                "invalid_value",
                format!("{priority} is out of range, expected -10 to 10"),
            );
        }
        i8::try_from(priority).unwrap_or(0)
    }

    pub fn words(&mut self, item: &Submission) {
        for (pointer, word) in [
            ("/partition_key", &item.partition_key),
            ("/client_ref", &item.client_ref),
        ] {
            if word
                .as_ref()
                .is_some_and(|w| w.is_empty() || w.len() > MAX_WORD_BYTES)
            {
                self.wrong(
                    pointer,
                    "invalid_value",
                    format!("expected 1 to {MAX_WORD_BYTES} bytes"),
                );
            }
        }
    }

    pub fn context(&mut self, context: Option<&Context>, shared: usize) {
        let Some(context) = context else { return };
        if context.len() + shared > MAX_CONTEXT_PAIRS {
            self.wrong(
                "/context",
                "too_many",
                format!("expected at most {MAX_CONTEXT_PAIRS} pairs, those of `defaults` included"),
            );
        }
        if context.iter().any(|(name, value)| {
            name.is_empty() || name.len() > MAX_CONTEXT_BYTES || value.len() > MAX_CONTEXT_BYTES
        }) {
            self.wrong(
                "/context",
                "invalid_value",
                format!("expected names of 1 to {MAX_CONTEXT_BYTES} bytes and values of at most {MAX_CONTEXT_BYTES}"),
            );
        }
    }

    pub fn payload(&mut self, item: &Submission, max_bytes: u64) {
        let Some(payload) = &item.payload else { return };
        if !payload.get().starts_with('{') {
            self.wrong("/payload", "wrong_type", "expected an object".to_owned());
        }
        if payload.get().len() as u64 > max_bytes {
            self.wrong(
                "/payload",
                "too_large",
                format!(
                    "the body is larger than {max_bytes} bytes (bound `api.max_payload_bytes`)"
                ),
            );
        }
        if item.object_ids.as_ref().is_some_and(|ids| ids.len() > 1) {
            self.wrong(
                "/payload",
                "invalid_value",
                "an inline body goes with exactly one object id".to_owned(),
            );
        }
        if item.action == Some(Action::Delete) {
            self.wrong(
                "/payload",
                "invalid_value",
                "a delete has no body".to_owned(),
            );
        }
    }

    pub fn depends_on(&mut self, item: &Submission, max: u32) -> Vec<ObjectKey> {
        let objects = item.depends_on.clone().unwrap_or_default();
        if objects.len() > max as usize {
            self.wrong(
                "/depends_on",
                "too_many",
                format!("expected at most {max} objects (bound `api.max_depends_on`)"),
            );
        }
        let fits = |text: &str| (1..=MAX_OBJECT_ID_BYTES).contains(&text.len());
        if let Some(at) = objects
            .iter()
            .position(|o| !fits(&o.id) || !fits(&o.object_type))
        {
            self.wrong(
                &format!("/depends_on/{at}"),
                "invalid_value",
                format!("expected a type and an id of 1 to {MAX_OBJECT_ID_BYTES} bytes"),
            );
        }
        objects.into_iter().map(ObjectKey::from).collect()
    }
}
