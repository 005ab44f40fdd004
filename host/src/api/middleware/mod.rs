//! Layers around the routes: authentication, limits per caller, traces, panics.

pub mod auth;
pub mod catch_panic;
pub mod concurrency;
pub mod drain_body;
pub mod fallback;
pub mod http_metrics;
pub mod keyed_limit;
pub mod quota;
pub mod serving;
pub mod trace;
