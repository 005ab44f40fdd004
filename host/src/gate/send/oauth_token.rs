//! Tokens that the host fetches for an owner: OAuth2 client credentials (RFC 6749, 4.4).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::context::CallContext;
use super::dial::{self, PreparedRequest, RawResponse};
use super::token_cache::Token;
use crate::gate::credentials::encoding;
use crate::gate::credentials::placeholders::{ACCESS_TOKEN, CLIENT_SECRET};
use crate::gate::exchange::SendError;
use crate::gate::policy::{grants, request_shape};
use crate::vault::{Secret, SecretInput, VaultError};

/// The largest response of a token endpoint, in bytes.
const MAX_RESPONSE_BYTES: u64 = 256 * 1024;

/// The client and its endpoint, from the owner's document.
pub struct ClientCredentials<'a> {
    pub token_url: &'a str,
    pub client_id: &'a str,
    pub scope: Option<&'a str>,
}

impl ClientCredentials<'_> {
    /// A digest of everything that a token is fetched with. A token fetched with anything else
    /// belongs to another account or has other rights.
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

/// The owner's token; fetches one if there is none that can be used.
pub async fn token(call: &CallContext, client: &ClientCredentials<'_>) -> Result<Token, SendError> {
    let (owner, vault, clock) = (call.destination.owner, &call.gate.vault, &call.gate.clock);
    let never_sent = |error: VaultError| SendError::NeverSent(error.to_string());
    let slot = call.gate.tokens.slot(owner);
    let secret = vault
        .get(owner, CLIENT_SECRET)
        .await
        .map_err(never_sent)?
        .ok_or_else(|| SendError::CredentialRefused("no client secret is entered".to_owned()))?;
    let origin = client.origin(secret.generation);
    if let Some(token) = slot.current(clock.wall(), &origin) {
        return Ok(token);
    }
    let end = clock.instant(call.deadline);
    let Ok(_fetching) = tokio::time::timeout_at(end, slot.fetching.lock()).await else {
        return Err(SendError::NeverSent(
            "no token before the call's deadline".to_owned(),
        ));
    };
    slot.restore(vault, owner).await.map_err(never_sent)?;
    if let Some(token) = slot.current(clock.wall(), &origin) {
        return Ok(token);
    }
    let rest_until = slot.clear();
    if rest_until > clock.mono() {
        return Err(SendError::Limited {
            until: clock.wall_of(rest_until),
            key: call.destination.own_key.to_string(),
        });
    }
    let granted = fetch(call, client, &secret).await?;
    let lifetime_ms = granted
        .expires_in
        .map(|s| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1000));
    let expires_at = lifetime_ms.map(|ms| clock.wall().plus_ms(ms));
    let generation = vault
        .put(
            owner,
            ACCESS_TOKEN,
            SecretInput {
                expires_at,
                origin: Some(origin.clone()),
                ..SecretInput::new(granted.access_token.clone(), secret.bound_hosts.clone())
            },
        )
        .await
        .map_err(|e| SendError::NeverSent(format!("the token could not be stored: {e}")))?;
    let token = Token::fetched(
        granted.access_token,
        generation,
        secret.bound_hosts,
        lifetime_ms,
        expires_at,
        origin,
    );
    slot.set(token.clone());
    Ok(token)
}

/// A granted token (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

/// A number, or a number in a string, as some servers send it. A token with any other lifetime
/// counts as one without.
fn seconds<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(match &value {
        serde_json::Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    })
}

/// A refusal of the token endpoint (RFC 6749, 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

async fn fetch(
    call: &CallContext,
    client: &ClientCredentials<'_>,
    secret: &Secret,
) -> Result<Granted, SendError> {
    let prepared = token_request(call, client, secret)?;
    let response = match dial::dial(call, prepared).await {
        Ok(response) => response,
        // The request that needs the token was not sent, even if the endpoint saw the token
        // request.
        Err(SendError::SentWithoutAnswer(why)) => {
            return Err(SendError::NeverSent(format!(
                "no answer from the token endpoint: {why}"
            )));
        }
        Err(error) => return Err(error),
    };
    judge(&response)
}

fn token_request(
    call: &CallContext,
    client: &ClientCredentials<'_>,
    secret: &Secret,
) -> Result<PreparedRequest, SendError> {
    // The operator's document names this URL, so it needs no grant. The secret may still have been
    // entered for another URL.
    let url = request_shape::check_url(client.token_url).map_err(SendError::Denied)?;
    if !grants::is_bound_to(&secret.bound_hosts, &url) {
        return Err(SendError::CredentialRefused(
            "the client secret was not entered for this token endpoint; enter it again".to_owned(),
        ));
    }
    let secret = &secret.value;
    let mut body = "grant_type=client_credentials".to_owned();
    if let Some(scope) = client.scope {
        body.push_str("&scope=");
        body.push_str(&encoding::percent(scope));
    }
    // Client authentication by HTTP Basic, which every server must support (RFC 6749, 2.3.1).
    let pair = format!(
        "{}:{}",
        encoding::percent(client.client_id),
        encoding::percent(secret.expose_secret())
    );
    let basic = format!("Basic {}", STANDARD.encode(&pair));
    call.redact_sent([secret, &SecretString::from(pair)]);
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
    Ok(PreparedRequest {
        method: Method::POST,
        shown_url: url.to_string(),
        url,
        headers,
        body: Some(Bytes::from(body)),
        write: false,
        operation: None,
        costs: Vec::new(),
        timeout_ms: call.gate.settings.default_request_timeout_ms,
        max_bytes: MAX_RESPONSE_BYTES,
        left: Arc::default(),
    })
}

fn judge(response: &RawResponse) -> Result<Granted, SendError> {
    if (200..300).contains(&response.status) {
        return serde_json::from_slice::<Granted>(&response.body).map_err(|_| {
            SendError::NeverSent("the token endpoint answered without a token".to_owned())
        });
    }
    let error = serde_json::from_slice::<Refusal>(&response.body)
        .ok()
        .map(|refusal| refusal.error);
    match (response.status, error.as_deref()) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn token_with_an_odd_lifetime_is_a_token() {
        for (lifetime, expected) in [
            ("3600", Some(3_600)),
            (r#""3600""#, Some(3_600)),
            ("-1", None),
            ("1e308", None),
            ("null", None),
            ("[]", None),
        ] {
            let text = format!(r#"{{"access_token": "abcdefgh", "expires_in": {lifetime}}}"#);
            let granted: Granted = serde_json::from_str(&text).unwrap();
            assert_eq!(granted.expires_in, expected, "{lifetime}");
        }
        let without: Granted = serde_json::from_str(r#"{"access_token": "abcdefgh"}"#).unwrap();
        assert_eq!(without.expires_in, None);
    }
}
