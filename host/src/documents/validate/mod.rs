//! The checks of documents beyond their shape: names, ranges, URLs, references.
//!
//! The checks are pure. They find all issues of a document at once, each with its place and a
//! sentence that explains the rule. [`super::configuration`] reads secrets and asks the store.
//!
//! One file per kind of document (`channel`, `connection`, `source`, `subscription`), one for a
//! whole file of documents (`document_set`), and one per part that several kinds share: `limits`
//! refuses limits that make no sense, `audience`, `retry`, `name`, `urls`, `hosts`, `addresses`.

mod addresses;
mod audience;
mod channel;
mod connection;
mod document_set;
mod hosts;
mod limits;
mod name;
mod retry;
mod source;
mod subscription;
mod urls;

use serde::Serialize;

pub use audience::{unknown_members, unlisted};
pub use channel::channel;
pub use connection::connection;
pub use document_set::{audiences, complete_set, set};
pub use hosts::HostPattern;
pub use source::source;
pub use subscription::subscription;

/// One problem of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// The place in the document, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// Stable and machine-readable: `url.invalid`.
    pub code: &'static str,
    /// One sentence for a person.
    pub detail: String,
}

impl Issue {
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        }
    }

    /// The same issue, seen from a larger document that contains this one at `prefix`.
    pub fn under(self, prefix: &str) -> Self {
        Self {
            pointer: format!("{prefix}{}", self.pointer),
            ..self
        }
    }
}

impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.pointer, self.detail, self.code)
    }
}

/// Refuses a number outside its bounds.
pub fn range(pointer: &str, value: u64, least: u64, most: u64, unit: &str) -> Option<Issue> {
    (value < least || value > most).then(|| {
        let detail = format!("must be between {least} and {most}{unit}, not {value}");
        Issue::new(pointer, "value.out_of_range", detail)
    })
}

#[cfg(test)]
mod tests;
