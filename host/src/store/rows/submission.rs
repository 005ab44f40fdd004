//! The rows of a submission.

use super::Context;
use egression_core::domain::action::Action;
use egression_core::domain::ids::{
    ConnectionId, ExecutionId, ExecutionSeq, SourceId, SubscriptionId,
};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;

/// A new execution.
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

/// An accepted job or a refused line.
#[derive(Clone, Debug)]
pub enum StagedItem {
    Job(StagedJob),
    /// A refused line of a bulk request: stored with its problem and counted once as rejected.
    Refused {
        /// Its index in the execution.
        index: u32,
        /// At most the first 200 bytes of the line.
        excerpt: String,
        /// The object, if it could be read.
        object: Option<ObjectKey>,
        problem: Problem,
    },
}

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
    /// Not before this time; none or past: now.
    pub scheduled_at: Option<Wall>,
    pub expires_at: Option<Wall>,
    /// The caller's name for the job.
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
    /// The job's own W3C Trace Context.
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
    /// The execution of the first request.
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
