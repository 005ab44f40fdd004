//! What is wrong with documents beyond their shape: names, ranges, URLs, references.
//!
//! Everything here is pure and complete: all issues of a document are found at once, each with the
//! place and a sentence that says what would be right. Reading secrets and asking the store are
//! left to [`super::configuration`].

mod channel;
mod connection;
mod document_set;
mod hosts;
mod limits;
mod names;
mod retry;
mod source;
mod unguarded_limits;
mod urls;

use serde::Serialize;

pub use channel::channel;
pub use connection::connection;
pub use document_set::{complete_set, set};
pub use hosts::{HostName, HostPattern};
pub use names::{is_name, subscription};
pub use source::source;
pub use unguarded_limits::{unguarded, unguarded_limits};

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// Where, as a JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// Stable and machine-readable: `url.invalid`.
    pub code: &'static str,
    /// One sentence for a person.
    pub detail: String,
}

impl Issue {
    /// An issue at a place.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        }
    }

    /// The same issue where its document is part of a larger one.
    #[must_use]
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

/// An issue if a number is not within its bounds.
pub(crate) fn range(pointer: &str, value: u64, least: u64, most: u64, unit: &str) -> Option<Issue> {
    let wrong = value < least || value > most;
    wrong.then(|| {
        Issue::new(
            pointer,
            "value.out_of_range",
            format!("must be {least} to {most}{unit}, not {value}"),
        )
    })
}

#[cfg(test)]
mod tests;
