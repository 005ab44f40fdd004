//! Installed connectors: which components are accepted, how their code is kept, and which version
//! a call gets.

pub mod check_component;
mod check_description;
pub mod code_cache;
pub mod compiler;
mod component_files;
pub mod connector_description;
mod connector_registry;
mod connector_version;
mod description_diff;
mod excess;
mod install_error;
mod installed_versions;

#[cfg(test)]
pub use connector_description::Bucket;
pub use connector_description::{
    BodyFormat, BucketKind, Description, HostNeed, ReferencePointer, TypeSupport,
};
pub use connector_registry::Registry;
pub use install_error::InstallError;
