//! The access tokens that the shop has issued.

use std::collections::HashMap;

use crate::{clock::Stamp, refusal::Refusal};

const US_PER_S: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: HashMap<String, Token>,
    revocations: u64,
}

#[derive(Debug)]
struct Token {
    expires: Stamp,
    revoked: bool,
}

impl Tokens {
    /// Issues a token that is valid for `ttl_s` seconds. Tokens do not depend on the scenario's
    /// seed, so that a token from before a restart or a reset never becomes valid again.
    #[expect(
        clippy::disallowed_methods,
        reason = "a token must not be predictable from a seed"
    )]
    pub(crate) fn issue(&mut self, now: Stamp, ttl_s: u64) -> String {
        let token = format!("sbx_{:032x}", rand::random::<u128>());
        let issued = Token {
            expires: now.plus_us(ttl_s.saturating_mul(US_PER_S)),
            revoked: false,
        };
        self.issued.insert(token.clone(), issued);
        token
    }

    /// Checks that the token is valid at this instant.
    pub(crate) fn check(&self, token: &str, now: Stamp) -> Result<(), Refusal> {
        match self.issued.get(token) {
            None => Err(Refusal::TokenUnknown),
            Some(known) if known.revoked => Err(Refusal::TokenRevoked),
            Some(known) if known.expires <= now => Err(Refusal::TokenExpired),
            Some(_) => Ok(()),
        }
    }

    /// Revokes every token issued so far.
    pub(crate) fn revoke_all(&mut self) {
        self.revocations += 1;
        for token in self.issued.values_mut() {
            token.revoked = true;
        }
    }

    /// How many times all tokens were revoked.
    pub(crate) const fn revocations(&self) -> u64 {
        self.revocations
    }
}
