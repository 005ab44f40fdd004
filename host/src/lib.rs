//! Egression: ships commerce data to sales channels through sandboxed output connectors.

pub mod api;
pub mod clock;
pub mod config;
pub mod gate;
pub mod runtime;
pub mod store;
