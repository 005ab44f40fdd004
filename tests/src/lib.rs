//! Drives the product from outside: a host in one line, shops, a Metadata API, and the evidence in
//! their logs.
//!
//! The tests of this crate, the demo and the development session use it. It talks to the product as
//! users do: through the binary, REST, the command line, and the destination's log. No process
//! outlives its handle. The tests do the judging.
//!
//! - [`binary`] finds the executable, and [`process`] runs it.
//! - [`host`], [`shop`] and [`source`] are the parties of a delivery; [`rest`] is the HTTP client.
//! - [`follow`] submits jobs and waits for executions.
//! - [`order`] reads order and repeats from the log of a shop.
//! - [`hostile`] configures a misbehaving connector, [`target`] is a scripted destination, and
//!   [`wire`] sends a request byte by byte.
//! - [`redact`] makes answers comparable; [`stopwatch`] is the only place that reads a clock.

pub mod binary;
pub mod follow;
pub mod host;
pub mod hostile;
pub mod order;
pub mod process;
pub mod redact;
pub mod rest;
pub mod shop;
pub mod source;
pub mod stopwatch;
pub mod target;
pub mod wire;
