//! The TCP side of the API: accepts connections within bounds and closes those that do nothing.
//!
//! A connection beyond the bounds is accepted, too, but only for one request: `/livez`, `/readyz`
//! and `/metrics` respond as usual, everything else gets 503. So an orchestrator does not restart a
//! host whose connections somebody uses up, and clients learn the reason. Only
//! [`accept::RESERVED`] such connections are open at once; a new one closes the oldest.
//!
//! What a request may do is decided above, by the routes and their layers.

mod accept;
mod activity;
mod client_connection;
mod connection_bounds;
mod connection_slots;

pub use accept::{Routes, serve};
pub use connection_bounds::ConnectionBounds;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
