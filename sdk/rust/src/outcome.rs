//! Outcomes and call errors, in one word each.

use crate::{
    Acceptance, CallError, Delivery, ObjectKey, Outcome, Problem, Remote, Retry, Throttle,
};

impl Outcome {
    /// It is there, changed by this call.
    pub fn delivered(remotes: Vec<Remote>) -> Self {
        Self::Delivered(Delivery {
            remotes,
            changed: true,
            warnings: Vec::new(),
        })
    }

    /// It was there already, the same; or, for a delete, gone already.
    pub fn unchanged(remotes: Vec<Remote>) -> Self {
        Self::Delivered(Delivery {
            remotes,
            changed: false,
            warnings: Vec::new(),
        })
    }

    /// It was taken and is decided later; see [`Settlement`](crate::Settlement).
    pub fn accepted(token: impl Into<String>, again_after_ms: Option<u64>) -> Self {
        Self::Accepted(Acceptance {
            token: token.into(),
            again_after: again_after_ms,
        })
    }

    /// The destination will never take it as it is.
    pub fn rejected(problem: Problem) -> Self {
        Self::Rejected(problem)
    }

    /// It may work later; says nothing about whether it was applied.
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

    /// Not applied: these objects must be there first.
    pub fn blocked_on(objects: Vec<ObjectKey>) -> Self {
        Self::BlockedOn(objects)
    }

    /// Not applied: this newer version is there.
    pub fn conflict(remote: Remote) -> Self {
        Self::Conflict(remote)
    }

    /// It may or may not have been applied.
    pub fn unknown(problem: Problem) -> Self {
        Self::Unknown(problem)
    }

    /// The same outcome with a better problem, where it carries one: the destination's own words
    /// instead of those that [`outcome_from_status`](crate::outcome_from_status) makes of a bare
    /// status.
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
    /// A limit is exhausted; nothing of this call was applied.
    pub fn throttled(retry_after_ms: u64, problem: Option<Problem>) -> Self {
        Self::Throttled(Throttle {
            bucket: None,
            retry_after: retry_after_ms,
            problem,
        })
    }

    /// The destination does not answer, or answers that it is down. Nothing was applied.
    pub fn unavailable(after_ms: Option<u64>, problem: Problem) -> Self {
        Self::Unavailable(Retry {
            after: after_ms,
            problem,
        })
    }

    /// The same error with a better problem.
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
