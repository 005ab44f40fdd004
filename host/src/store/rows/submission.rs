//! What is received.

use super::Context;
use egression_core::domain::action::Action;
use egression_core::domain::ids::{
    ConnectionId, ExecutionId, ExecutionSeq, SourceId, SubscriptionId,
};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;

/// An execution about to be received.
#[derive(Clone, Debug)]
pub struct NewExecution {
    pub id: ExecutionId,
    pub subscription: SubscriptionId,
    pub operation: &'static str,
    /// As given with the request.
    pub context: Option<Context>,
    /// W3C Trace Context of the caller.
    pub traceparent: Option<String>,
    pub created_at: Wall,
}

/// A job as it is received, or a line that was refused.
#[derive(Clone, Debug)]
pub enum StagedItem {
    Job(StagedJob),
    /// A refused line of a bulk request: kept with its problem, counted once in total and rejected.
    Refused {
        /// Its index in the execution.
        index: u32,
        /// At most 200 bytes of what was given.
        excerpt: String,
        /// The object, as far as it could be read.
        object: Option<ObjectKey>,
        problem: Problem,
    },
}

/// A job with everything that acceptance fixes.
#[derive(Clone, Debug)]
pub struct StagedJob {
    /// Its index in the execution.
    pub index: u32,
    pub connection: ConnectionId,
    /// The belt, from 1.
    pub belt: u32,
    pub object: ObjectKey,
    pub action: Action,
    /// −10 … 10, higher first.
    pub priority: i8,
    /// The key's text if it is not the object's own (`type:id`).
    pub partition_key: Option<String>,
    /// Where the body is read. None: `payload`, or a delete.
    pub source: Option<SourceId>,
    /// Not before; none or past: now.
    pub scheduled_at: Option<Wall>,
    pub expires_at: Option<Wall>,
    /// The caller's own word for the job.
    pub client_ref: Option<String>,
    /// Pairs beyond those of the execution.
    pub context: Option<Context>,
    /// Objects that must be there first.
    pub depends_on: Vec<ObjectKey>,
    /// The inline body: JSON text.
    pub payload: Option<String>,
    /// The inline body is the whole object.
    pub full: bool,
    /// The source's revision of the inline body.
    pub revision: Option<u64>,
    /// W3C Trace Context of the job's own.
    pub traceparent: Option<String>,
}

/// Written in the transaction that seals an execution.
#[derive(Clone, Debug)]
pub struct IdempotencyMark {
    pub operation: &'static str,
    pub key: String,
    /// SHA-256 of the request's body as sent, after decoding.
    pub body_hash: [u8; 32],
}

/// An idempotency key that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// What the first request made.
    pub execution: ExecutionSeq,
    /// SHA-256 of its body.
    pub body_hash: [u8; 32],
}

/// A sealed execution: durable, and visible to the scheduler.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub execution: ExecutionSeq,
    /// Its place among all executions.
    pub seal: i64,
}
