//! The WASM engine: compiles connectors, keeps their versions and runs them.
//!
//! - [`Runtime`] owns the engine and the threads on which guests run.
//! - `registry/` decides which components are accepted, and which version a call gets.
//! - `instance/` runs one call in one guest: it creates or reuses the instance, bounds it, and
//!   turns its end into a [`CallEnd`](connector_call::CallEnd).
//! - `v0_1/` translates between the contract's records and the host's types.
//! - [`Connector`] is one accepted version; its methods are the functions of the contract.
//! - [`Abilities`] is the guest's access to the world. The caller passes an implementation with
//!   each call.
//!
//! Promises: every call ends at most `grace_ms` after its deadline, whatever the guest does,
//! because its CPU time, waiting time, memory, log lines and handles are bounded. Outcomes reported
//! before a trap survive the trap. No guest sees the memory of another tenant. Other modules decide
//! what an outcome means for a job.

mod connector_call;
mod guest_abilities;
mod instance;
mod loaded_connector;
mod registry;
mod runtime_settings;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod thread_priority;
mod v0_1;
mod wasm_runtime;

pub use connector_call::{
    Call, ConnectionFrame, DeliveryEnd, Findings, Item, LogLevel, LogLine, ResolvedReference,
    Session,
};
pub use guest_abilities::Abilities;
pub use loaded_connector::Connector;
#[cfg(test)]
pub use registry::Bucket;
pub use registry::{
    BodyFormat, BucketKind, COMPILE_COMMAND, Description, HostNeed, InstallError, ReferencePointer,
    Registry, TypeSupport, compile_process,
};
pub use runtime_settings::{
    CacheKey, CompileBounds, DescriptionBounds, LogBounds, RuntimeSettings,
};
pub use wasm_runtime::Runtime;
