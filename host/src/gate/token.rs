//! Tokens that the host fetches by itself: OAuth2 client credentials (RFC 6749, 4.4).
//!
//! One fetch at a time per owner. A token has a generation; a 401 drops only the generation that it
//! answered, so that late answers to an old token do not throw away the new one. It belongs to the
//! endpoint, client, scope and secret that it was fetched with. A token that was never good for
//! anything makes the next fetch wait, longer each time. The token is kept in the vault and
//! outlives a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use egression_core::time::{Mono, Wall};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::call::CallState;
use super::encoding;
use super::exchange::SendError;
use super::grants;
use super::transfer::{self, Prepared, RawAnswer};
use crate::vault::{Secret, Vault};

/// The vault's name of a fetched token.
pub const ACCESS_TOKEN: &str = "oauth2:access_token";
/// The vault's name of the client's secret.
pub const CLIENT_SECRET: &str = "client_secret";

/// A token is renewed this long before its end, or at three quarters of its life if that is later,
/// in milliseconds.
const RENEW_AHEAD_MS: i64 = 30_000;
/// The rest after the first fresh token that is refused, in milliseconds. It doubles each time.
const FIRST_REST_MS: u64 = 1000;
/// The longest rest, in milliseconds.
const LONGEST_REST_MS: u64 = 5 * 60 * 1000;
/// The largest answer of a token endpoint, in bytes.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

/// What is asked for, from the owner's document.
pub(super) struct ClientCredentials<'a> {
    pub(super) token_url: &'a str,
    pub(super) client_id: &'a str,
    pub(super) scope: Option<&'a str>,
}

impl ClientCredentials<'_> {
    /// A digest of all that a token is fetched with: one that was fetched with something else is
    /// another account's, or may do something else.
    fn origin(&self, secret_generation: i64) -> String {
        let parts = serde_json::json!([
            self.token_url,
            self.client_id,
            self.scope,
            secret_generation
        ])
        .to_string();
        hex::encode(digest(&SHA256, parts.as_bytes()))
    }
}

#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    pub(super) generation: i64,
    pub(super) bound_hosts: Vec<String>,
    renew_at: Option<Wall>,
    /// What it was fetched with; none: that was not kept.
    origin: Option<String>,
}

/// The tokens of all owners.
#[derive(Default)]
pub(super) struct Tokens {
    owners: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    flight: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The vault was asked for what an earlier run left.
    looked: bool,
    /// The token was good for something, or an earlier run left it.
    proven: bool,
    /// Fresh tokens refused in a row.
    refusals: u32,
    rest_until: Mono,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    fn slot(&self, owner: &str) -> Arc<Slot> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(owners.entry(owner.to_owned()).or_default())
    }

    /// The owner's token, fetched if there is none that is good.
    pub(super) async fn token(
        &self,
        call: &CallState,
        asked: &ClientCredentials<'_>,
    ) -> Result<Token, SendError> {
        let owner = &call.destination.owner;
        let slot = self.slot(owner);
        let vault = &call.gate.vault;
        let secret = vault
            .get(owner, CLIENT_SECRET)
            .await
            .map_err(|e| SendError::NeverSent(e.to_string()))?;
        let secret = secret.ok_or_else(|| {
            SendError::CredentialRefused("no client secret is entered".to_owned())
        })?;
        let origin = asked.origin(secret.generation);
        let wall = || call.gate.clock.wall();
        if let Some(token) = slot.state().good(wall(), &origin) {
            return Ok(token);
        }
        let end = call.gate.clock.instant(call.deadline);
        let Ok(_flight) = tokio::time::timeout_at(end, slot.flight.lock()).await else {
            return Err(SendError::NeverSent(
                "no token within the call's deadline".to_owned(),
            ));
        };
        slot.look_into(vault, owner).await?;
        let rest_until = {
            let mut state = slot.state();
            if let Some(token) = state.good(wall(), &origin) {
                return Ok(token);
            }
            state.token = None;
            state.rest_until
        };
        if rest_until > call.gate.clock.mono() {
            let until = call.gate.clock.wall_of(rest_until);
            return Err(SendError::Limited {
                until,
                key: call.destination.own_key.to_string(),
            });
        }
        let granted = fetch(call, asked, &secret).await?;
        let lifetime_ms = granted
            .expires_in
            .map(|s| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1000));
        let expires_at = lifetime_ms.map(|ms| wall().plus_ms(ms));
        let generation = vault
            .put_from(
                owner,
                ACCESS_TOKEN,
                granted.access_token.clone(),
                secret.bound_hosts.clone(),
                expires_at,
                Some(origin.clone()),
            )
            .await
            .map_err(|e| SendError::NeverSent(format!("the token could not be kept: {e}")))?;
        let ahead_ms = lifetime_ms.map_or(0, |ms| RENEW_AHEAD_MS.min(ms / 4));
        let token = Token {
            value: granted.access_token,
            generation,
            bound_hosts: secret.bound_hosts,
            renew_at: expires_at.map(|at| at.plus_ms(-ahead_ms)),
            origin: Some(origin),
        };
        let mut state = slot.state();
        state.token = Some(token.clone());
        state.proven = false;
        Ok(token)
    }

    /// The destination answered 401 to this generation.
    pub(super) async fn refused(&self, vault: &Vault, owner: &str, generation: i64, now: Mono) {
        let slot = self.slot(owner);
        {
            let mut state = slot.state();
            if state
                .token
                .as_ref()
                .is_none_or(|token| token.generation != generation)
            {
                return;
            }
            state.token = None;
            if !state.proven {
                let rest_ms = FIRST_REST_MS
                    .saturating_mul(1 << state.refusals.min(16))
                    .min(LONGEST_REST_MS);
                state.refusals += 1;
                state.rest_until = now.plus_ms(rest_ms);
            }
        }
        if let Err(error) = vault.drop(owner, ACCESS_TOKEN, Some(generation)).await {
            // It is out of use in this run; after a restart it would be refused and dropped once
            // more.
            tracing::warn!(owner, %error, "a refused token could not be removed");
        }
    }

    /// The destination took this generation.
    pub(super) fn accepted(&self, owner: &str, generation: i64) {
        let slot = self.slot(owner);
        let mut state = slot.state();
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

impl State {
    fn good(&self, now: Wall, origin: &str) -> Option<Token> {
        let fits = |token: &&Token| {
            token.renew_at.is_none_or(|at| now < at) && token.origin.as_deref() == Some(origin)
        };
        self.token.as_ref().filter(fits).cloned()
    }
}

impl Slot {
    /// Takes over what an earlier run left in the vault.
    async fn look_into(&self, vault: &Vault, owner: &str) -> Result<(), SendError> {
        if self.state().looked {
            return Ok(());
        }
        let kept = vault
            .get(owner, ACCESS_TOKEN)
            .await
            .map_err(|e| SendError::NeverSent(e.to_string()))?;
        let mut state = self.state();
        state.looked = true;
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
}

/// What a token endpoint grants (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// What a token endpoint refuses with (RFC 6749, 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

async fn fetch(
    call: &CallState,
    asked: &ClientCredentials<'_>,
    secret: &Secret,
) -> Result<Granted, SendError> {
    let prepared = token_request(call, asked, secret)?;
    let answer = match transfer::transfer(call, prepared).await {
        Ok(answer) => answer,
        // Whether the endpoint saw it or not, the request that wanted the token was not sent.
        Err(SendError::SentWithoutAnswer(why)) => {
            return Err(SendError::NeverSent(format!(
                "the token endpoint did not answer: {why}"
            )));
        }
        Err(error) => return Err(error),
    };
    judge(&answer)
}

fn token_request(
    call: &CallState,
    asked: &ClientCredentials<'_>,
    secret: &Secret,
) -> Result<Prepared, SendError> {
    // The operator's document names this URL, which is its grant. The secret may still have been
    // entered for another.
    let url = grants::check_url(asked.token_url).map_err(SendError::Denied)?;
    if !grants::is_bound_to(&secret.bound_hosts, &url) {
        return Err(SendError::CredentialRefused(
            "the client secret was not entered for this token endpoint; enter it again".to_owned(),
        ));
    }
    let secret = &secret.value;
    let mut body = "grant_type=client_credentials".to_owned();
    if let Some(scope) = asked.scope {
        body.push_str("&scope=");
        body.push_str(&encoding::percent(scope));
    }
    // Client authentication by HTTP Basic, which every server must support (RFC 6749, 2.3.1).
    let pair = format!(
        "{}:{}",
        encoding::percent(asked.client_id),
        encoding::percent(secret.expose_secret())
    );
    let basic = format!("Basic {}", STANDARD.encode(&pair));
    call.mask_also([secret, &SecretString::from(pair)]);
    let mut authorization =
        HeaderValue::from_str(&basic).expect("base64 is made of characters that a header takes");
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    Ok(Prepared {
        method: Method::POST,
        shown_url: url.to_string(),
        url,
        headers,
        body: Some(Bytes::from(body)),
        write: false,
        operation: None,
        costs: Vec::new(),
        timeout_ms: call.gate.settings.default_request_timeout_ms,
        max_bytes: MAX_ANSWER_BYTES,
        left: Arc::default(),
    })
}

fn judge(answer: &RawAnswer) -> Result<Granted, SendError> {
    if (200..300).contains(&answer.status) {
        return serde_json::from_slice::<Granted>(&answer.body).map_err(|_| {
            SendError::NeverSent("the token endpoint answered without a token".to_owned())
        });
    }
    let error = serde_json::from_slice::<Refusal>(&answer.body)
        .ok()
        .map(|refusal| refusal.error);
    match (answer.status, error.as_deref()) {
        (
            _,
            Some(
                code @ ("invalid_client"
                | "invalid_grant"
                | "unauthorized_client"
                | "invalid_scope"),
            ),
        ) => Err(SendError::CredentialRefused(format!(
            "the token endpoint answered {code}"
        ))),
        (401, _) => Err(SendError::CredentialRefused(
            "the token endpoint answered 401".to_owned(),
        )),
        (status, _) => Err(SendError::NeverSent(format!(
            "the token endpoint answered {status}"
        ))),
    }
}
