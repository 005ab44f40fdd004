//! Building blocks around credentials.

use crate::{Algorithm, Attr, CallError, CredentialError, Encoding, Problem, SignRequest};

impl SignRequest {
    /// Signs `data` with `key` (both may hold placeholders), answered in hex.
    pub fn new(algorithm: Algorithm, key: impl Into<String>, data: impl Into<String>) -> Self {
        Self {
            algorithm,
            key: key.into(),
            data: data.into(),
            encoding: Encoding::Hex,
            attrs: Vec::new(),
        }
    }

    /// The text form of the answer.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// What derives the key, for `aws4`: `date`, `region`, `service`.
    #[must_use]
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push(Attr::new(key, value));
        self
    }
}

impl CallError {
    /// A missing secret asks for a person (`auth-rejected`); a request that makes no sense is the
    /// connector's fault (`internal`).
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
    /// One free key-value pair.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}
