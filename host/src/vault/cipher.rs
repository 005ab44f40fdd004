//! Sealing and MACs with keys derived from the master key.
//!
//! A sealed text is one byte of format (1), 12 bytes of nonce, the ciphertext and 16 bytes of tag.
//! Nonces are random; with 96 bits a repeat is unlikely before some billions of sealed texts (NIST
//! SP 800-38D, 8.3).

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};

use super::key::MasterKey;
use super::secret::VaultError;

const FORMAT: u8 = 1;

pub(super) struct Cipher {
    seal: LessSafeKey,
    tag: hmac::Key,
}

impl Cipher {
    /// Derives one key per use, so that neither reveals the other.
    pub(super) fn new(key: &MasterKey) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        let seal = hmac::sign(&master, b"egression/seal/1");
        let tag = hmac::sign(&master, b"egression/tag/1");
        let seal = UnboundKey::new(&CHACHA20_POLY1305, seal.as_ref())
            .expect("SHA-256 gives the 32 bytes that the cipher takes");
        Self {
            seal: LessSafeKey::new(seal),
            tag: hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref()),
        }
    }

    pub(super) fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| VaultError::Seal)?;
        let mut text = plain.to_vec();
        self.seal
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut text,
            )
            .map_err(|_| VaultError::Seal)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// `None`: changed, or sealed under another key or context.
    pub(super) fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&FORMAT, rest) = sealed.split_first()? else {
            return None;
        };
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = self
            .seal
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut text)
            .ok()?;
        Some(plain.to_vec())
    }

    pub(super) fn tag(&self, text: &str) -> String {
        let mut tag = hex::encode(hmac::sign(&self.tag, text.as_bytes()).as_ref());
        tag.truncate(32);
        tag
    }
}
