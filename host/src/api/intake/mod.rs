//! Submissions: the body is read as a stream, each item is validated, and what is valid is staged
//! and sealed.

pub mod body;
pub mod cycles;
pub mod fields;
pub mod idempotency;
pub mod receive;
pub mod rest;
pub mod splitter;
pub mod stage_size;
pub mod submission;
pub mod submit;
pub mod validate;
