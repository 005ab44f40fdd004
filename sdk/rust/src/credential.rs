//! Constructors for signatures and attributes.

use crate::{Algorithm, Attr, CallError, CredentialError, Encoding, Problem, SignRequest};

impl SignRequest {
    /// Signs `data` with `key`. Both may contain placeholders. The result is in hex.
    pub fn new(algorithm: Algorithm, key: impl Into<String>, data: impl Into<String>) -> Self {
        Self {
            algorithm,
            key: key.into(),
            data: data.into(),
            encoding: Encoding::Hex,
            attrs: Vec::new(),
        }
    }

    /// Sets the encoding of the result.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Adds an attribute. For `aws4`: `date`, `region` and `service`.
    #[must_use]
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push(Attr::new(key, value));
        self
    }
}

impl CallError {
    /// `auth-rejected` for a missing secret, which a person must enter; `internal` for an invalid
    /// request, which is the connector's fault.
    pub fn from_credential(error: CredentialError) -> Self {
        match error {
            CredentialError::Missing(name) => Self::AuthRejected(Problem::new(
                "secret.missing",
                format!("the connection has no secret {name}"),
            )),
            CredentialError::Invalid(reason) => {
                Self::Internal(Problem::new("credential.invalid", reason))
            }
        }
    }
}

impl Attr {
    /// A key-value pair.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}
