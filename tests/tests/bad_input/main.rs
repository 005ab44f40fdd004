//! What is wrong, and what it gets: requests that cannot be read, names that nobody knows,
//! components that are none, connectors that misbehave, addresses that must not be reached, a
//! second host on the same data. One file a row.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test, not a library")]

mod addresses;
mod attacks;
mod components;
mod connectors;
mod cut_off;
mod hosts;
mod name_server;
mod names;
mod requests;
mod second_host;
