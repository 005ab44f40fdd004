//! What a job is: ids, states and their transitions, waiting reasons, outcomes and verdicts.

pub mod action;
pub mod backoff;
pub mod belt;
pub mod circuit_breaker;
pub mod ids;
pub mod judge;
pub mod object;
pub mod outcome;
pub mod partition;
pub mod problem;
pub mod retry;
pub mod state;
pub mod transition;
pub mod waiting;
