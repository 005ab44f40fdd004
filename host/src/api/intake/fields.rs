//! Checks the fields of a submission that need no documents.
//!
//! The report is small for a submission of any size: it has at most [`MAX_ITEM_ERRORS`] errors and
//! repeats only the beginning of a text.

use egression_core::domain::action::Action;
use egression_core::domain::object::ObjectKey;
use egression_core::time::Wall;

use super::submission::{self, Submission};
use crate::api::http::problem::{ApiError, FieldError};
use crate::store::rows::Context;

/// The longest object id and object type in bytes.
pub const MAX_OBJECT_ID_BYTES: usize = 512;
/// The longest partition key and `client_ref` in bytes.
pub const MAX_WORD_BYTES: usize = 200;
/// Pairs of a context, including those of the execution.
pub const MAX_CONTEXT_PAIRS: usize = 10;
/// The longest name or value in a context, in bytes.
const MAX_CONTEXT_BYTES: usize = 256;
/// Errors reported per submission; the rest is counted.
pub const MAX_ITEM_ERRORS: usize = 20;
/// Bytes of a text that an error repeats.
const SHOWN_BYTES: usize = 60;

/// The beginning of a text from the client, for an error about it.
pub fn shown(text: &str) -> String {
    submission::excerpt(text.as_bytes(), SHOWN_BYTES)
}

/// Whether an object can be named in a report: too long names are not stored.
pub fn is_nameable(object: &ObjectKey) -> bool {
    object.id.len() <= MAX_OBJECT_ID_BYTES && object.object_type.len() <= MAX_OBJECT_ID_BYTES
}

/// Checks the context of the execution, which all its jobs share.
pub fn check_context(context: Option<&Context>, operation: &str) -> Result<(), ApiError> {
    let Some(context) = context else {
        return Ok(());
    };
    let max = MAX_CONTEXT_BYTES;
    let fits = context
        .iter()
        .all(|(name, value)| !name.is_empty() && name.len() <= max && value.len() <= max);
    if context.len() <= MAX_CONTEXT_PAIRS && fits {
        return Ok(());
    }
    let pointer = if operation == "bulk" {
        "/defaults/context"
    } else {
        "/context"
    };
    let detail = format!(
        "expected at most {MAX_CONTEXT_PAIRS} pairs, with names of 1 to {max} bytes and values of \
         at most {max} bytes"
    );
    Err(ApiError::invalid(vec![FieldError::new(
        pointer,
        "invalid_value",
        detail,
    )]))
}

/// The errors of one submission.
#[derive(Default)]
pub struct FieldChecks {
    errors: Vec<FieldError>,
    omitted: u64,
}

impl FieldChecks {
    /// Adds an error. Texts from the client in `detail` go through [`shown`].
    pub fn wrong(&mut self, pointer: &str, code: &str, detail: impl Into<String>) {
        if self.errors.len() < MAX_ITEM_ERRORS {
            self.errors.push(FieldError::new(pointer, code, detail));
        } else {
            self.omitted += 1;
        }
    }

    pub const fn is_good(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors, and the number of those that were not kept.
    pub fn into_errors(mut self) -> Vec<FieldError> {
        if self.omitted > 0 {
            self.errors.push(FieldError::new(
                "",
                "more_errors",
                format!("{} more errors", self.omitted),
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
                "at least one object id is required",
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
                    "`{}` is not a time from year 0000 to 9999, expected RFC 3339 like \
                     2026-11-21T08:00:00Z",
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
                "expected a time after `scheduled_at`",
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

    pub fn texts(&mut self, item: &Submission) {
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
                format!(
                    "expected at most {MAX_CONTEXT_PAIRS} pairs, including those of `defaults`"
                ),
            );
        }
        if context.iter().any(|(name, value)| {
            name.is_empty() || name.len() > MAX_CONTEXT_BYTES || value.len() > MAX_CONTEXT_BYTES
        }) {
            self.wrong(
                "/context",
                "invalid_value",
                format!(
                    "expected names of 1 to {MAX_CONTEXT_BYTES} bytes and values of at most \
                     {MAX_CONTEXT_BYTES} bytes"
                ),
            );
        }
    }

    pub fn payload(&mut self, item: &Submission, max_bytes: u64) {
        let Some(payload) = &item.payload else { return };
        if !payload.get().starts_with('{') {
            self.wrong("/payload", "wrong_type", "expected an object");
        }
        if payload.get().len() as u64 > max_bytes {
            self.wrong(
                "/payload",
                "too_large",
                format!(
                    "the payload is larger than {max_bytes} bytes (bound `api.max_payload_bytes`)"
                ),
            );
        }
        if item.object_ids.as_ref().is_some_and(|ids| ids.len() > 1) {
            self.wrong(
                "/payload",
                "invalid_value",
                "a payload requires exactly one object id",
            );
        }
        if item.action == Some(Action::Delete) {
            self.wrong("/payload", "invalid_value", "a delete has no payload");
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
