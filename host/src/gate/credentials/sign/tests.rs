//! Signatures against published vectors and independent verification.

#![allow(clippy::unwrap_used)]

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use super::*;

fn compute(algorithm: Algorithm, encoding: Encoding, key: &str, data: &str) -> String {
    let request = SignRequest {
        algorithm,
        key: key.to_owned(),
        data: data.to_owned(),
        encoding,
        attrs: Vec::new(),
    };
    sign(&request, key, data).unwrap()
}

/// RFC 2202, 3, test case 2; RFC 4231, 4.3, test case 2.
#[test]
fn hmac() {
    let (key, data) = ("Jefe", "what do ya want for nothing?");
    assert_eq!(
        compute(Algorithm::HmacSha1, Encoding::Hex, key, data),
        "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    );
    assert_eq!(
        compute(Algorithm::HmacSha256, Encoding::Hex, key, data),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        compute(Algorithm::HmacSha512, Encoding::Hex, key, data),
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a99\
        4a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
    );
}

/// RFC 1321, A.5; FIPS 180-4's example (RFC 6234, 8.5).
#[test]
fn digests() {
    assert_eq!(
        compute(Algorithm::Md5, Encoding::Hex, "", "abc"),
        "900150983cd24fb0d6963f7d28e17f72"
    );
    assert_eq!(
        compute(Algorithm::Md5, Encoding::Base64, "", "abc"),
        "kAFQmDzST7DWlj99KOF/cg=="
    );
    assert_eq!(
        compute(Algorithm::Sha256, Encoding::Hex, "", "abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let request = SignRequest {
        algorithm: Algorithm::Md5,
        key: "k".into(),
        data: "d".into(),
        encoding: Encoding::Hex,
        attrs: Vec::new(),
    };
    assert!(sign(&request, "k", "d").is_err());
}

#[test]
fn digest_of_a_secret_alone_is_refused() {
    let digest = |data: &str| {
        let request = SignRequest {
            algorithm: Algorithm::Sha256,
            key: String::new(),
            data: data.to_owned(),
            encoding: Encoding::Hex,
            attrs: Vec::new(),
        };
        sign(&request, "", "what the placeholders stand for")
    };
    let secret = "{{egression:key:00}}";
    for bare in [secret.to_owned(), format!(" {secret}\n{secret}")] {
        let error = digest(&bare).unwrap_err().to_string();
        assert!(error.contains("a digest of a secret alone"), "{error}");
    }
    for mixed in [format!("{secret}&amount=10"), "no secret".to_owned()] {
        digest(&mixed).unwrap();
    }
}

const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc1\
    9yb290Ijp0cnVlfQ";

/// RFC 7515, A.2.
#[test]
fn rs256() {
    let signature = compute(
        Algorithm::Rs256,
        Encoding::Base64Url,
        include_str!("rfc7515_rs256.pem"),
        &format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}"),
    );
    assert_eq!(
        signature,
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_\
        lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO7\
        5vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOk\
        HWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
        wlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
}

/// The key of RFC 7515, A.3. Its signatures are random, so the public key decides.
#[test]
fn es256() {
    let data = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}");
    let signature = compute(
        Algorithm::Es256,
        Encoding::Base64Url,
        include_str!("rfc7515_es256.pem"),
        &data,
    );
    let mut point = vec![4];
    for coordinate in [
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    ] {
        point.extend(URL_SAFE_NO_PAD.decode(coordinate).unwrap());
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(signature.len(), 64);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(data.as_bytes(), &signature)
        .unwrap();
}

/// RFC 8032, 7.1, test 1 (as a PKCS#8 key of RFC 8410) and an empty message.
#[test]
fn ed25519() {
    let seed =
        hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend(seed);
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    assert_eq!(
        compute(Algorithm::Ed25519, Encoding::Hex, &pem, ""),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33b\
        acc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    );
}

/// The worked example of the AWS General Reference, 'Calculate the signature' (2015-08-30,
/// us-east-1, iam).
#[test]
fn aws4() {
    let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let data = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
    let attrs = [
        ("date", "20150830"),
        ("region", "us-east-1"),
        ("service", "iam"),
    ]
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .to_vec();
    let mut request = SignRequest {
        algorithm: Algorithm::Aws4,
        key: key.into(),
        data: data.into(),
        encoding: Encoding::Hex,
        attrs,
    };
    assert_eq!(
        sign(&request, key, data).unwrap(),
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
    request.attrs.pop();
    assert!(
        sign(&request, key, data)
            .unwrap_err()
            .to_string()
            .contains("service")
    );
}

#[test]
fn bad_key_is_an_error_that_does_not_show_it() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519] {
        let request = SignRequest {
            algorithm,
            key: String::new(),
            data: String::new(),
            encoding: Encoding::Hex,
            attrs: Vec::new(),
        };
        let error = sign(&request, "hunter2", "").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
