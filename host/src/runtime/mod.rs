//! The WASM engine: which connectors are there, how they are called, what they may do.

pub mod description;
