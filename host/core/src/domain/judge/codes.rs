//! The problem codes that verdicts use.

/// The code of a problem: the answer to a send was lost.
pub const CODE_ANSWER_LOST: &str = "answer.lost";
/// The code of a problem: the connector ended a call without sending the item.
pub const CODE_NOT_ATTEMPTED: &str = "call.not_attempted";
/// The code of a problem: the destination holds a newer version, again and again.
pub const CODE_CONFLICT: &str = "conflict";
/// The code of a problem: a connector said `blocked-on` and named no object.
pub const CODE_BLOCKED_ON_NOTHING: &str = "blocked_on.nothing";
/// The code of a problem with which the caller ends an accepted job as `unknown` as long as nothing
/// polls.
pub const CODE_ACCEPTED_NO_POLL: &str = "accepted.no_poll";
