//! Egression: ships commerce data to sales channels through sandboxed output connectors.

pub mod api;
pub mod app;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod dispatch;
pub mod gate;
pub mod resolver;
pub mod runtime;
pub mod store;
pub mod telemetry;
pub mod vault;
