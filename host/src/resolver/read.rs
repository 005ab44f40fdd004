//! One read of an object, and its result.

use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;

/// An object to read.
#[derive(Clone, Debug)]
pub struct Read {
    pub object: ObjectKey,
    /// The job's W3C Trace Context.
    pub traceparent: Option<String>,
}

/// An object's body as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// JSON text, unchanged.
    pub body: String,
    /// Larger is newer: the source's number, or its timestamp in milliseconds.
    pub revision: Option<u64>,
}

/// Why there is no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The source, or its answer about the object, makes the job `rejected`.
    Rejected(Box<Problem>),
    /// The source is down, slow, refused or at its own limit: the job waits until then.
    Unavailable { until: Wall, problem: Box<Problem> },
}

/// The result of one read.
pub type ReadResult = Result<Resolved, ResolveError>;

impl ResolveError {
    /// A label of metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    pub fn rejected(problem: Problem) -> Self {
        Self::Rejected(Box::new(problem))
    }

    pub fn unavailable(until: Wall, problem: Problem) -> Self {
        Self::Unavailable {
            until,
            problem: Box::new(problem),
        }
    }
}

/// The trace that all share. A request for several traces belongs to none of them: otherwise each
/// trace would show the work of the others as its own.
pub fn shared_trace<'a>(mut traces: impl Iterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let first = traces.next()??;
    traces.all(|trace| trace == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::shared_trace;

    #[test]
    fn request_for_several_traces_belongs_to_none() {
        assert_eq!(shared_trace([Some("a"), Some("a")].into_iter()), Some("a"));
        assert_eq!(shared_trace([Some("a"), Some("b")].into_iter()), None);
        assert_eq!(shared_trace([Some("a"), None].into_iter()), None);
        assert_eq!(shared_trace([None, Some("a")].into_iter()), None);
        assert_eq!(shared_trace(std::iter::empty()), None);
    }
}
