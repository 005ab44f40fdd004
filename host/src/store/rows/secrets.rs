//! Encrypted secrets, going in and coming out.

use egression_core::time::Wall;

/// A secret to be kept as a new generation.
#[derive(Clone, Debug, Default)]
pub struct NewSecret {
    pub ciphertext: Vec<u8>,
    /// The hosts that it was entered for.
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// A digest of what it comes from.
    pub origin: Option<String>,
}

/// A secret as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    pub name: String,
    /// Which one of its name, ascending.
    pub generation: i64,
    pub ciphertext: Vec<u8>,
    /// The hosts that it was entered for.
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// A digest of what it comes from.
    pub origin: Option<String>,
}
