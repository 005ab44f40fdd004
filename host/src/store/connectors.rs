//! Installed connectors, by name and version. The components lie in the data directory under their digests.

use egression_core::time::Wall;
use super::{Store, StoreError};

/// An installed version of a connector.
#[derive(Clone, Debug)]
pub struct ConnectorRow {
    /// Its name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// What it says about itself, as JSON.
    pub description: String,
    /// The component's size.
    pub size_bytes: u64,
    /// New calls go to this version.
    pub active: bool,
    /// When it was installed.
    pub installed_at: Wall,
}

impl Store {
    /// Adds a version (replacing the same version). `activate`: makes it the active one, in the same transaction, and drops
    /// the sessions of connections whose channel uses this connector.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_connector(&self, row: ConnectorRow, activate: bool) -> Result<(), StoreError> {
        let _ = (row, activate);
        todo!()
    }

    /// All versions, by name and time of installation.
    ///
    /// # Errors
    /// What the database says.
    pub async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError> {
        todo!()
    }

    /// Makes an installed version the active one; false if it is not installed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn activate_connector(&self, name: &str, version: &str) -> Result<bool, StoreError> {
        let _ = (name, version);
        todo!()
    }
}
