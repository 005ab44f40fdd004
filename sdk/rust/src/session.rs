//! Builders for sessions and findings.

use crate::{Findings, Session};

impl Session {
    /// A session without an expiry. `data` has at most 64 KiB, and may contain placeholders but no
    /// secrets.
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Self {
            data: data.into(),
            expires_at: None,
            account: None,
        }
    }

    /// Sets the expiry, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at_ms(mut self, instant_ms: u64) -> Self {
        self.expires_at = Some(instant_ms);
        self
    }

    /// Sets the name of the account, for people.
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
    /// The connection works with this account and these scopes.
    pub fn new(account: Option<String>, scopes: Vec<String>) -> Self {
        Self {
            account,
            scopes,
            remarks: Vec::new(),
            attrs: Vec::new(),
        }
    }
}
