//! JSON Schemas of connectors, read and evaluated within bounds.
//!
//! A schema comes from a component, and the value that it judges from a tenant. Neither may cost
//! more than the bounds allow:
//!
//! 1. [`Schema::read`] accepts a subset of draft 2020-12 whose cost can be counted (`graph`), and
//!    refuses a schema that evaluates one value too often (`cost`).
//! 2. Before the validator runs, `meter` counts the steps of this evaluation. Above
//!    [`SchemaBounds::max_steps`] it does not run. The count is the bound on CPU time and memory.
//! 3. Everything runs on threads of its own (`workers`), with a deadline. A thread that misses it
//!    delays no other evaluation, and not the end of the process.

mod bounds;
mod cost;
mod graph;
mod meter;
mod pattern;
mod schema;
#[cfg(test)]
mod tests;
mod workers;

pub use bounds::SchemaBounds;
pub use graph::SchemaFault;
pub use schema::{Schema, Verdict};
pub use workers::{NotJudged, Workers};
