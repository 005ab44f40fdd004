//! Constructors of outcomes and call errors.

use crate::{
    Acceptance, CallError, Delivery, ObjectKey, Outcome, Problem, Remote, Retry, Throttle,
};

impl Outcome {
    /// The destination took the object.
    pub fn delivered(remotes: Vec<Remote>) -> Self {
        Self::Delivered(Delivery {
            remotes,
            changed: true,
            warnings: Vec::new(),
        })
    }

    /// The destination already had the same object or, for a delete, had none.
    pub fn unchanged(remotes: Vec<Remote>) -> Self {
        Self::Delivered(Delivery {
            remotes,
            changed: false,
            warnings: Vec::new(),
        })
    }

    /// The destination took the object and decides later; see [`Settlement`](crate::Settlement).
    pub fn accepted(token: impl Into<String>, again_after_ms: Option<u64>) -> Self {
        Self::Accepted(Acceptance {
            token: token.into(),
            again_after: again_after_ms,
        })
    }

    /// The destination will never take the object in this form.
    pub fn rejected(problem: Problem) -> Self {
        Self::Rejected(problem)
    }

    /// A later attempt may succeed. The destination may have applied this one.
    pub fn retryable(after_ms: Option<u64>, problem: Problem) -> Self {
        Self::Retryable(Retry {
            after: after_ms,
            problem,
        })
    }

    /// Not applied: the connection's own limit is exhausted.
    pub fn throttled(retry_after_ms: u64, problem: Option<Problem>) -> Self {
        Self::Throttled(Throttle {
            bucket: None,
            retry_after: retry_after_ms,
            problem,
        })
    }

    /// Not applied: these objects must exist first.
    pub fn blocked_on(objects: Vec<ObjectKey>) -> Self {
        Self::BlockedOn(objects)
    }

    /// Not applied: the destination has this newer version.
    pub fn conflict(remote: Remote) -> Self {
        Self::Conflict(remote)
    }

    /// The destination may or may not have applied it.
    pub fn unknown(problem: Problem) -> Self {
        Self::Unknown(problem)
    }

    /// Replaces the problem, if the outcome has one: for example with the destination's own words
    /// instead of the text from [`outcome_from_status`](crate::outcome_from_status).
    #[must_use]
    pub fn because(mut self, better: Problem) -> Self {
        match &mut self {
            Self::Rejected(problem) | Self::Unknown(problem) => *problem = better,
            Self::Retryable(retry) => retry.problem = better,
            Self::Throttled(throttle) => throttle.problem = Some(better),
            Self::Delivered(_)
            | Self::Accepted(_)
            | Self::BlockedOn(_)
            | Self::Conflict(_)
            | Self::NotAttempted => {}
        }
        self
    }
}

impl CallError {
    /// A limit is exhausted. Nothing of this call was applied.
    pub fn throttled(retry_after_ms: u64, problem: Option<Problem>) -> Self {
        Self::Throttled(Throttle {
            bucket: None,
            retry_after: retry_after_ms,
            problem,
        })
    }

    /// The destination is down or unreachable. Nothing was applied.
    pub fn unavailable(after_ms: Option<u64>, problem: Problem) -> Self {
        Self::Unavailable(Retry {
            after: after_ms,
            problem,
        })
    }

    /// Replaces the problem.
    #[must_use]
    pub fn because(mut self, better: Problem) -> Self {
        match &mut self {
            Self::AuthExpired(problem)
            | Self::AuthRejected(problem)
            | Self::SettingsInvalid(problem)
            | Self::BatchRefused(problem)
            | Self::Unsupported(problem)
            | Self::Internal(problem) => *problem = better,
            Self::Throttled(throttle) => throttle.problem = Some(better),
            Self::Unavailable(retry) => retry.problem = better,
        }
        self
    }
}
