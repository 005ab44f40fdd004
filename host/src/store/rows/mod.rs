//! What goes into the store and comes out of it: rows, not behaviour.

mod changes;
mod delivery;
mod scheduling;
mod secrets;
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
