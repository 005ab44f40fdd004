//! Installed connectors: which components are accepted, how their code is kept, and which version
//! a call gets.

pub mod check_component;
mod check_description;
pub mod code_cache;
mod compile_process;
pub mod compiler;
mod component_files;
mod component_size;
pub mod connector_description;
mod connector_registry;
mod connector_version;
mod description_diff;
mod excess;
mod install_error;
mod installed_versions;

pub use compile_process::{COMMAND as COMPILE_COMMAND, compile_process};
#[cfg(test)]
pub use connector_description::Bucket;
pub use connector_description::{
    BodyFormat, BucketKind, Description, HostNeed, ReferencePointer, TypeSupport,
};
#[cfg(test)]
pub use connector_registry::Installed;
pub use connector_registry::Registry;
pub use install_error::InstallError;
