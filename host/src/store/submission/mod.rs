//! How executions come in: staged unseen, then sealed as a whole.

pub mod staging;
pub mod submit;
