//! Secrets at rest, sealed with ChaCha20-Poly1305 (RFC 8439) under the host's master key.
//!
//! Promises: the store holds a secret only as ciphertext, bound to its owner and name, so that a
//! row moved to another owner does not open. Every change is a new generation. [`Vault::tag`]
//! returns an unguessable text that identifies one generation. The gate decides who may use a
//! secret, and at which host.

mod cipher;
mod entered_or_renewed;
mod key;
mod secret;
#[cfg(test)]
mod tests;
mod vault;

pub use key::MasterKey;
pub use secret::{Secret, SecretInput, VaultError};
pub use vault::Vault;
