//! The OAuth2 tokens that the host holds for its owners.
//!
//! A token has a generation. A 401 drops only the generation that it answered, so that a late
//! answer to an old token does not discard the new one. A token belongs to the endpoint, client,
//! scope and secret that it was fetched with. If the destination refuses a fresh token, the next
//! fetch waits, longer each time. The vault keeps the token across restarts.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::backoff::{Backoff, Jitter};
use egression_core::domain::ids::Owner;
use egression_core::time::{Mono, Wall};
use parking_lot::Mutex;
use secrecy::SecretString;

use crate::gate::credentials::placeholders::ACCESS_TOKEN;
use crate::vault::{Vault, VaultError};

/// A token is renewed this long before it expires, or at three quarters of its life if that is
/// later, in milliseconds.
const RENEW_AHEAD_MS: i64 = 30_000;
/// The rest after refused fresh tokens.
const REFUSED: Backoff = Backoff {
    base_ms: 1000,
    max_ms: 5 * 60 * 1000,
    jitter: Jitter::None,
};

#[derive(Clone)]
pub struct Token {
    pub value: SecretString,
    pub generation: i64,
    pub bound_hosts: Vec<String>,
    renew_at: Option<Wall>,
    /// What it was fetched with; `None` if that was not kept.
    origin: Option<String>,
}

impl Token {
    pub fn fetched(
        value: SecretString,
        generation: i64,
        bound_hosts: Vec<String>,
        lifetime_ms: Option<i64>,
        expires_at: Option<Wall>,
        origin: String,
    ) -> Self {
        let ahead_ms = lifetime_ms.map_or(0, |ms| RENEW_AHEAD_MS.min(ms / 4));
        Self {
            value,
            generation,
            bound_hosts,
            renew_at: expires_at.map(|at| at.plus_ms(-ahead_ms)),
            origin: Some(origin),
        }
    }
}

/// The tokens of all owners.
#[derive(Default)]
pub struct TokenCache {
    owners: Mutex<HashMap<Owner, Arc<TokenSlot>>>,
}

/// One owner's token.
#[derive(Default)]
pub struct TokenSlot {
    /// Held while a token is fetched, so that an owner has one fetch at a time.
    pub fetching: tokio::sync::Mutex<()>,
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    token: Option<Token>,
    /// The token that an earlier run left in the vault has been read.
    restored: bool,
    /// The destination accepted the token, or an earlier run left it.
    proven: bool,
    /// Consecutive refusals of fresh tokens.
    refusals: u32,
    rest_until: Mono,
}

impl TokenCache {
    pub fn slot(&self, owner: Owner) -> Arc<TokenSlot> {
        Arc::clone(self.owners.lock().entry(owner).or_default())
    }

    /// The destination answered 401 to this generation.
    pub async fn refused(&self, vault: &Vault, owner: Owner, generation: i64, now: Mono) {
        if !self.slot(owner).refuse(generation, now) {
            return;
        }
        if let Err(error) = vault.drop(owner, ACCESS_TOKEN, Some(generation)).await {
            // This run does not use it any more. After a restart it is refused and dropped again.
            tracing::warn!(%owner, %error, "refused token could not be removed from the store");
        }
    }

    /// The destination accepted this generation.
    pub fn accepted(&self, owner: Owner, generation: i64) {
        let slot = self.slot(owner);
        let mut state = slot.state.lock();
        if state
            .token
            .as_ref()
            .is_some_and(|token| token.generation == generation)
        {
            state.proven = true;
            (state.refusals, state.rest_until) = (0, Mono::default());
        }
    }
}

impl TokenSlot {
    /// The token, if it was fetched with `origin` and is not about to expire.
    pub fn current(&self, now: Wall, origin: &str) -> Option<Token> {
        let fits = |token: &&Token| {
            token.renew_at.is_none_or(|at| now < at) && token.origin.as_deref() == Some(origin)
        };
        self.state.lock().token.as_ref().filter(fits).cloned()
    }

    /// Drops the token. The next fetch waits until the returned instant.
    pub fn clear(&self) -> Mono {
        let mut state = self.state.lock();
        state.token = None;
        state.rest_until
    }

    pub fn set(&self, token: Token) {
        let mut state = self.state.lock();
        state.token = Some(token);
        state.proven = false;
    }

    /// Reads the token that an earlier run left in the vault, once.
    pub async fn restore(&self, vault: &Vault, owner: Owner) -> Result<(), VaultError> {
        if self.state.lock().restored {
            return Ok(());
        }
        let kept = vault.get(owner, ACCESS_TOKEN).await?;
        let mut state = self.state.lock();
        state.restored = true;
        state.proven = kept.is_some();
        state.token = kept.map(|secret| Token {
            value: secret.value,
            generation: secret.generation,
            bound_hosts: secret.bound_hosts,
            renew_at: secret.expires_at.map(|at| at.plus_ms(-RENEW_AHEAD_MS)),
            origin: secret.origin,
        });
        Ok(())
    }

    /// Drops the token if it is this generation. False: it is another one.
    fn refuse(&self, generation: i64, now: Mono) -> bool {
        let mut state = self.state.lock();
        if state
            .token
            .as_ref()
            .is_none_or(|token| token.generation != generation)
        {
            return false;
        }
        state.token = None;
        if !state.proven {
            state.refusals += 1;
            state.rest_until = now.plus_ms(REFUSED.ceiling_ms(state.refusals));
        }
        true
    }
}
