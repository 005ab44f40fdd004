//! The problem codes that verdicts use.

/// The answer to a send was lost.
pub const CODE_ANSWER_LOST: &str = "answer.lost";
/// The connector ended a call without sending the item.
pub const CODE_NOT_ATTEMPTED: &str = "call.not_attempted";
/// The destination holds a newer version each time the object is sent.
pub const CODE_CONFLICT: &str = "conflict";
/// A connector reported `blocked-on` without an object.
pub const CODE_BLOCKED_ON_NOTHING: &str = "blocked_on.nothing";
/// An accepted job ends as `unknown`, because the host does not poll yet.
pub const CODE_ACCEPTED_NO_POLL: &str = "accepted.no_poll";
