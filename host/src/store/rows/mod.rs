//! The data that goes into the store and comes out of it: rows without behavior.

mod changes;
pub(in crate::store) mod columns;
mod delivery;
mod scheduling;
mod secrets;
pub(in crate::store) mod state_columns;
mod submission;
mod tracking;

use std::collections::BTreeMap;

pub use delivery::*;
pub use scheduling::*;
pub use secrets::*;
pub use submission::*;
pub use tracking::*;

/// String pairs that tie work to the caller's workflow.
pub type Context = BTreeMap<String, String>;
