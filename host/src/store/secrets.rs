//! Encrypted secrets and sessions. What is inside is not known here.

use egression_core::domain::ids::*;
use egression_core::time::Wall;
use super::{Store, StoreError};

impl Store {
    /// Keeps a secret as a new generation, which is returned. `owner`: `connection:7`, `source:3`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_secret(&self, owner: &str, name: &str, ciphertext: Vec<u8>, bound_hosts: &[String], expires_at: Option<Wall>) -> Result<i64, StoreError> {
        let _ = (owner, name, ciphertext, bound_hosts, expires_at);
        todo!()
    }

    /// The secrets of an owner: (name, generation, ciphertext, bound hosts, expiry).
    ///
    /// # Errors
    /// What the database says.
    pub async fn secrets(&self, owner: &str) -> Result<Vec<(String, i64, Vec<u8>, Vec<String>, Option<Wall>)>, StoreError> {
        let _ = (owner,);
        todo!()
    }

    /// Forgets a secret if it is still this generation (any if none).
    ///
    /// # Errors
    /// What the database says.
    pub async fn drop_secret(&self, owner: &str, name: &str, generation: Option<i64>) -> Result<(), StoreError> {
        let _ = (owner, name, generation);
        todo!()
    }

    /// Keeps a connection's session.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_session(&self, connection: ConnectionId, digest: &str, ciphertext: Vec<u8>, expires_at: Option<Wall>, account: Option<&str>) -> Result<(), StoreError> {
        let _ = (connection, digest, ciphertext, expires_at, account);
        todo!()
    }

    /// A connection's session: (digest, ciphertext, expiry, account).
    ///
    /// # Errors
    /// What the database says.
    pub async fn session(&self, connection: ConnectionId) -> Result<Option<(String, Vec<u8>, Option<Wall>, Option<String>)>, StoreError> {
        let _ = (connection,);
        todo!()
    }

    /// Forgets a connection's session.
    ///
    /// # Errors
    /// What the database says.
    pub async fn drop_session(&self, connection: ConnectionId) -> Result<(), StoreError> {
        let _ = (connection,);
        todo!()
    }
}
