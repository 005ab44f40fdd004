//! The pure decisions of Egression: what a job is, who runs next, what an outcome means.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness are
//! arguments. The host drives these state machines in real time; tests drive them in virtual time.

pub mod domain;
pub mod scheduler;
pub mod time;
