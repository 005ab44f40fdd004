//! Drives the product from outside: a whole host in one line, shops, a Metadata API, and what their
//! logs prove.
//!
//! Used by the tests of this crate and by the demo. Everything here talks to the product as its
//! users do: the binary, REST, the command line, the destination's own log. It promises that no
//! process outlives its handle, and leaves judging to the tests.
//!
//! The files: [`binary`] finds the executable, [`process`] runs it, [`host`], [`shop`] and
//! [`source`] are the three parties, [`rest`] asks over HTTP, [`order`] reads order and repeats
//! from a shop's log, [`stopwatch`] is the only place that reads a clock. For what goes wrong:
//! [`hostile`] is a channel that misbehaves, [`target`] a destination that is scripted, [`wire`] a
//! request sent byte by byte; [`follow`] submits and watches, [`redact`] makes answers comparable.

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
