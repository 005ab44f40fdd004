//! Encrypted secrets.

use egression_core::time::Wall;

/// A secret, to be stored as a new generation.
#[derive(Clone, Debug, Default)]
pub struct NewSecret {
    pub ciphertext: Vec<u8>,
    /// The hosts that it may be sent to.
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// A digest of the input that it was made from.
    pub origin: Option<String>,
}

/// A stored secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    pub name: String,
    /// Ascending per name.
    pub generation: i64,
    pub ciphertext: Vec<u8>,
    /// The hosts that it may be sent to.
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// A digest of the input that it was made from.
    pub origin: Option<String>,
}
