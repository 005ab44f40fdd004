//! Signatures with secrets that the connector does not have.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};

use super::placeholders::{self, CredentialError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2104 with SHA-1.
    HmacSha1,
    /// RFC 2104 with SHA-256.
    HmacSha256,
    /// RFC 2104 with SHA-512.
    HmacSha512,
    /// RFC 1321, without a key.
    Md5,
    /// FIPS 180-4, without a key.
    Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, 3.3).
    Rs256,
    /// ECDSA with P-256 and SHA-256, as 64 bytes (RFC 7518, 3.4).
    Es256,
    /// RFC 8032.
    Ed25519,
    /// HMAC-SHA-256 with the derived key of AWS Signature Version 4.
    Aws4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    /// With padding (RFC 4648, 4).
    Base64,
    /// Without padding (RFC 4648, 5; RFC 7515).
    Base64Url,
}

#[derive(Clone, Debug)]
pub struct SignRequest {
    pub algorithm: Algorithm,
    /// A text with placeholders. For RS256, ES256 and Ed25519 a PKCS#8 key in PEM; empty for
    /// digests.
    pub key: String,
    /// The text to sign, with placeholders.
    pub data: String,
    pub encoding: Encoding,
    /// AWS4: `date` (YYYYMMDD), `region`, `service`.
    pub attrs: Vec<(String, String)>,
}

/// Signs `data` with `key`, both after substitution.
pub fn sign(request: &SignRequest, key: &str, data: &str) -> Result<String, CredentialError> {
    let data = data.as_bytes();
    let hmac = |algorithm| {
        hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), data)
            .as_ref()
            .to_vec()
    };
    let signature = match request.algorithm {
        Algorithm::HmacSha1 => hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::HmacSha256 => hmac(hmac::HMAC_SHA256),
        Algorithm::HmacSha512 => hmac(hmac::HMAC_SHA512),
        Algorithm::Md5 | Algorithm::Sha256 if !key.is_empty() => {
            return Err(invalid("a digest takes no key"));
        }
        // Anybody who sees the plain digest of a secret can test guesses, or look it up.
        Algorithm::Md5 | Algorithm::Sha256 if placeholders::is_bare(&request.data) => {
            return Err(invalid(
                "a digest of a secret alone reveals too much: `data` needs text next to the \
                 placeholder",
            ));
        }
        Algorithm::Md5 => Md5::digest(data).to_vec(),
        Algorithm::Sha256 => digest::digest(&digest::SHA256, data).as_ref().to_vec(),
        Algorithm::Rs256 => rs256(&pkcs8(key)?, data)?,
        Algorithm::Es256 => es256(&pkcs8(key)?, data)?,
        Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8(key)?)
            .map_err(|_| invalid("the key is not an Ed25519 key in PKCS#8"))?
            .sign(data)
            .as_ref()
            .to_vec(),
        Algorithm::Aws4 => aws4(key, data, &request.attrs)?,
    };
    Ok(match request.encoding {
        Encoding::Hex => hex::encode(signature),
        Encoding::Base64 => STANDARD.encode(signature),
        Encoding::Base64Url => URL_SAFE_NO_PAD.encode(signature),
    })
}

fn rs256(key: &[u8], data: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let key = RsaKeyPair::from_pkcs8(key)
        .map_err(|_| invalid("the key is not an RSA key of 2048 bits or more in PKCS#8"))?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        data,
        &mut signature,
    )
    .map_err(|_| invalid("signing failed"))?;
    Ok(signature)
}

fn es256(key: &[u8], data: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key)
        .map_err(|_| invalid("the key is not a P-256 key in PKCS#8"))?;
    let signature = key
        .sign(&SystemRandom::new(), data)
        .map_err(|_| invalid("signing failed"))?;
    Ok(signature.as_ref().to_vec())
}

/// Derives the signing key for a date, region and service and signs with it (AWS Signature Version
/// 4).
fn aws4(key: &str, data: &[u8], attrs: &[(String, String)]) -> Result<Vec<u8>, CredentialError> {
    let attr = |name: &str| {
        let found = attrs
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_bytes());
        found.ok_or_else(|| invalid(&format!("aws4 needs the attribute `{name}`")))
    };
    let mut signed = format!("AWS4{key}").into_bytes();
    for step in [
        attr("date")?,
        attr("region")?,
        attr("service")?,
        b"aws4_request",
        data,
    ] {
        signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &signed), step)
            .as_ref()
            .to_vec();
    }
    Ok(signed)
}

/// The bytes of a PKCS#8 key in PEM (RFC 7468, 10).
fn pkcs8(pem: &str) -> Result<Vec<u8>, CredentialError> {
    let body = pem
        .split_once("-----BEGIN PRIVATE KEY-----")
        .and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"))
        .map(|(body, _)| body.split_whitespace().collect::<String>());
    body.and_then(|body| STANDARD.decode(body).ok())
        .ok_or_else(|| invalid("the key must be an unencrypted PKCS#8 key in PEM"))
}

fn invalid(why: &str) -> CredentialError {
    CredentialError::Invalid(why.to_owned())
}

#[cfg(test)]
mod tests;
