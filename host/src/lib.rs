//! Egression: ships commerce data to sales channels through sandboxed output connectors.

mod api;
mod app;
mod cli;
mod clock;
mod delivery;
mod dispatch;
mod documents;
mod gate;
mod resolver;
mod rng;
mod runtime;
mod settings;
mod store;
mod telemetry;
mod vault;

pub use cli::main;
