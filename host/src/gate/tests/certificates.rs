//! Certificates for tests, written by hand (X.509, RFC 5280, in DER): an authority, and servers'
//! with a name. The few fields that a verifier looks at are there, on keys of the curve P-256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BITS: u8 = 0x03;
const BOOLEAN: u8 = 0x01;
const TEXT: u8 = 0x0c;
const TIME: u8 = 0x17;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// A certificate with its key.
pub(super) struct Certificate {
    name: String,
    key: EcdsaKeyPair,
    /// PKCS #8.
    pub(super) private_key: Vec<u8>,
    pub(super) der: Vec<u8>,
}

impl Certificate {
    pub(super) fn authority(name: &str) -> Self {
        let is_authority = sequence(&[&tlv(BOOLEAN, &[0xff])]);
        let constraints = sequence(&[
            &tlv(OID, BASIC_CONSTRAINTS),
            &tlv(BOOLEAN, &[0xff]),
            &tlv(OCTETS, &is_authority),
        ]);
        Self::new(name, None, &constraints)
    }

    /// The certificate of a server for this host, signed by the authority; self-signed without one.
    pub(super) fn server(host: &str, authority: Option<&Self>) -> Self {
        // The context tag 2 of a general name is a DNS name.
        let names = sequence(&[&tlv(0x82, host.as_bytes())]);
        Self::new(
            host,
            authority,
            &sequence(&[&tlv(OID, ALTERNATIVE_NAME), &tlv(OCTETS, &names)]),
        )
    }

    pub(super) fn pem(&self) -> String {
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(&self.der)
        )
    }

    fn new(name: &str, issuer: Option<&Self>, extension: &[u8]) -> Self {
        let random = SystemRandom::new();
        let private_key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .unwrap()
            .as_ref()
            .to_vec();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &private_key).unwrap();
        let algorithm = sequence(&[&tlv(OID, ECDSA_WITH_SHA256)]);
        let to_sign = sequence(&[
            // Version 3.
            &tlv(0xa0, &tlv(INTEGER, &[2])),
            &tlv(INTEGER, &[1]),
            &algorithm,
            &distinguished(issuer.map_or(name, |issuer| &issuer.name)),
            &sequence(&[&tlv(TIME, b"200101000000Z"), &tlv(TIME, b"491231235959Z")]),
            &distinguished(name),
            &sequence(&[
                &sequence(&[&tlv(OID, EC_PUBLIC_KEY), &tlv(OID, P256)]),
                &bits(key.public_key().as_ref()),
            ]),
            &tlv(0xa3, &sequence(&[extension])),
        ]);
        let signature = issuer
            .map_or(&key, |issuer| &issuer.key)
            .sign(&random, &to_sign)
            .unwrap();
        let der = sequence(&[&to_sign, &algorithm, &bits(signature.as_ref())]);
        Self {
            name: name.to_owned(),
            key,
            private_key,
            der,
        }
    }
}

fn distinguished(name: &str) -> Vec<u8> {
    sequence(&[&tlv(
        SET,
        &sequence(&[&tlv(OID, COMMON_NAME), &tlv(TEXT, name.as_bytes())]),
    )])
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// A bit string of whole bytes.
fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(BITS, &[&[0], bytes].concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let mut encoded = vec![tag];
    match length {
        [0, short] if short < 0x80 => encoded.push(short),
        [0, byte] => encoded.extend([0x81, byte]),
        [high, low] => encoded.extend([0x82, high, low]),
    }
    encoded.extend(value);
    encoded
}
