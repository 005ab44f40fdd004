//! Sessions and findings.

use crate::{Findings, Session};

impl Session {
    /// A session that does not expire by itself. `data` is at most 64 KiB and may carry
    /// placeholders, never secrets.
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Self {
            data: data.into(),
            expires_at: None,
            account: None,
        }
    }

    /// When it stops being good, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at_ms(mut self, instant_ms: u64) -> Self {
        self.expires_at = Some(instant_ms);
        self
    }

    /// Whose account it is, for people.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// The data, if it is text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.data).ok()
    }
}

impl Findings {
    /// The connection works, as this account with these scopes.
    pub fn new(account: Option<String>, scopes: Vec<String>) -> Self {
        Self {
            account,
            scopes,
            remarks: Vec::new(),
            attrs: Vec::new(),
        }
    }
}
