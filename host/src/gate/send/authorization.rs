//! The owner's credential in the `Authorization` header, as its document defines it, and the check
//! that a secret may go to a host.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RANGE};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::context::CallContext;
use super::oauth_token::{self, ClientCredentials};
use super::token_cache::Token;
use crate::documents::model::AuthDocument;
use crate::gate::credentials::placeholders::{BEARER_TOKEN, CLIENT_SECRET};
use crate::gate::exchange::SendError;
use crate::gate::policy::grants;
use crate::vault::Secret;

/// Adds the owner's credential. Returns the token if the host fetched it.
pub async fn attach(
    call: &CallContext,
    url: &Url,
    headers: &mut HeaderMap,
) -> Result<Option<Token>, SendError> {
    let (value, token) = match &call.destination.auth {
        None | Some(AuthDocument::None | AuthDocument::Connector { .. }) => return Ok(None),
        Some(AuthDocument::Bearer { .. }) => {
            let secret = bearer(call).await?;
            check_bound(BEARER_TOKEN, &secret.bound_hosts, url)?;
            (secret.value, None)
        }
        Some(AuthDocument::OAuth2ClientCredentials {
            token_url,
            client_id,
            scope,
            ..
        }) => {
            let client = ClientCredentials {
                token_url,
                client_id,
                scope: scope.as_deref(),
            };
            let token = Box::pin(oauth_token::token(call, &client)).await?;
            check_bound(CLIENT_SECRET, &token.bound_hosts, url)?;
            (token.value.clone(), Some(token))
        }
    };
    if headers.contains_key(AUTHORIZATION) {
        return Err(SendError::Denied(
            "the host attaches `authorization`; send the request's own with auth `none`".to_owned(),
        ));
    }
    check_no_range(headers)?;
    call.redact_sent([&value]);
    headers.insert(AUTHORIZATION, bearer_header(&value)?);
    Ok(token)
}

async fn bearer(call: &CallContext) -> Result<Secret, SendError> {
    let secret = call
        .gate
        .vault
        .get(call.destination.owner, BEARER_TOKEN)
        .await;
    let secret = secret.map_err(|e| SendError::NeverSent(e.to_string()))?;
    let secret = secret.filter(|s| !s.is_expired(call.gate.clock.wall()));
    secret.ok_or_else(|| {
        SendError::CredentialRefused("the token is missing or has expired".to_owned())
    })
}

fn bearer_header(token: &SecretString) -> Result<HeaderValue, SendError> {
    let text = format!("Bearer {}", token.expose_secret());
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        SendError::CredentialRefused(
            "the token contains characters that a header cannot carry".to_owned(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Denies a secret that was not entered for the URL's host.
pub fn check_bound(name: &str, bound_hosts: &[String], url: &Url) -> Result<(), SendError> {
    if grants::is_bound_to(bound_hosts, url) {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    Err(SendError::Denied(format!(
        "the secret `{name}` was not entered for {host}; use no credential or another one there"
    )))
}

/// Denies a range request with a secret: a range could cut a secret in the response, which the
/// redaction would not recognize.
pub fn check_no_range(headers: &HeaderMap) -> Result<(), SendError> {
    if !headers.contains_key(RANGE) {
        return Ok(());
    }
    Err(SendError::Denied(
        "a request that carries a secret cannot ask for a `range`".to_owned(),
    ))
}

/// A 401 drops the token that it answers, and only that one.
pub async fn note_status(call: &CallContext, token: &Token, status: u16) {
    let (gate, owner) = (&call.gate, call.destination.owner);
    if status == 401 {
        gate.tokens
            .refused(&gate.vault, owner, token.generation, gate.clock.mono())
            .await;
    } else {
        gate.tokens.accepted(owner, token.generation);
    }
}
