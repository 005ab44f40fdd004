//! A request's way through the gate: deadline, shape and grants, literal address, secrets, limits,
//! dial. Whatever fails before the dial is `Denied`, `Limited` or `NeverSent`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, RANGE};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::answer;
use super::call::CallState;
use super::cost;
use super::exchange::{
    Answer, BodyPlaceholders, Exchange, ExchangeEnd, OutgoingRequest, RequestAuth, SendError,
};
use super::filling::{Filled, Resolved};
use super::grants;
use super::placeholders::{self, Wanted};
use super::token::{CLIENT_SECRET, ClientCredentials, Token};
use super::transfer::{self, Prepared};
use crate::documents::model::AuthDocument;
use crate::telemetry::metrics;
use crate::vault::Secret;

/// The vault's name of a fixed bearer token.
pub const BEARER_TOKEN: &str = "token";

/// The header of W3C Trace Context that is passed on.
const TRACEPARENT: &str = "traceparent";

/// The settings that bound a request before and after its secrets are in place.
const MAX_BODY: &str = "gate.max_request_bytes";
const MAX_HEADERS: &str = "gate.max_request_headers_bytes";

/// Sends a request and gives the guest what it may see of the answer. `left` tells whether it was
/// written.
pub(super) async fn send(
    call: &CallState,
    request: OutgoingRequest,
    left: Arc<AtomicBool>,
) -> Result<Answer, SendError> {
    let max_bytes = answer_bound(call, &request);
    let noted = Shown::of(call, &request);
    let prepared = prepare(call, request, left).await;
    let (mut prepared, token) = prepared.inspect_err(|error| {
        metrics::gate_request(call.destination.channel.as_ref(), Err(error.label()), None);
        noted.note(call, error);
    })?;
    prepared.max_bytes =
        max_bytes.saturating_add(call.with_mask(|mask| mask.overlap_bytes() as u64));
    let outcome = transfer::transfer(call, prepared).await;
    if let (Ok(raw), Some(token)) = (&outcome, &token) {
        note_token(call, token, raw.status).await;
    }
    let headers_bound = call.gate.settings.max_response_headers_bytes;
    match outcome {
        Ok(raw) => Ok(call.with_mask(|mask| answer::masked(raw, mask, max_bytes, headers_bound))),
        Err(SendError::Denied(why)) => Err(SendError::Denied(call.redact(&why))),
        Err(SendError::NeverSent(why)) => Err(SendError::NeverSent(call.redact(&why))),
        Err(SendError::SentWithoutAnswer(why)) => {
            Err(SendError::SentWithoutAnswer(call.redact(&why)))
        }
        Err(other) => Err(other),
    }
}

fn answer_bound(call: &CallState, request: &OutgoingRequest) -> u64 {
    let most = call.gate.settings.max_response_bytes;
    let own = Some(call.destination.max_response_bytes).filter(|&bytes| bytes > 0);
    request.max_response_bytes.or(own).unwrap_or(most).min(most)
}

/// A request as the history shows it if it ends before it is written, or breaks off.
pub(super) struct Shown(Exchange);

impl Shown {
    pub(super) fn of(call: &CallState, request: &OutgoingRequest) -> Self {
        /// Longer than every method that may be used.
        const MAX_METHOD_CHARS: usize = 16;
        Self(Exchange {
            at: call.gate.clock.wall(),
            method: request.method.chars().take(MAX_METHOD_CHARS).collect(),
            url: placeholders::hidden(&shown(&request.url)),
            end: ExchangeEnd::NeverSent,
            status: None,
            duration_ms: 0,
            error: None,
            write: !request.reads_only,
            idempotency_key: key_of(
                request
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_bytes())),
            ),
        })
    }

    pub(super) fn note(self, call: &CallState, error: &SendError) {
        call.note(Exchange {
            end: ExchangeEnd::from(error),
            error: Some(call.redact(&error.to_string())),
            ..self.0
        });
    }
}

/// The value of a request's `Idempotency-Key` (the IETF's draft of that name), if it is short
/// enough for one.
pub(super) fn key_of<'a>(mut headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<String> {
    const MAX_BYTES: usize = 255;
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))?;
    std::str::from_utf8(value)
        .ok()
        .filter(|key| key.len() <= MAX_BYTES)
        .map(str::to_owned)
}

/// A URL for people: at most so much of it.
fn shown(url: &str) -> String {
    const MAX_CHARS: usize = 2048;
    url.chars().take(MAX_CHARS).collect()
}

/// Everything that is decided before a limit is asked. The token that was put in comes along.
async fn prepare(
    call: &CallState,
    request: OutgoingRequest,
    left: Arc<AtomicBool>,
) -> Result<(Prepared, Option<Token>), SendError> {
    check_time(call)?;
    call.know_secrets().await;
    let denied = SendError::Denied;
    check_head(call, &request)?;
    let method = grants::check_method(&request.method).map_err(denied)?;
    let mut url = grants::check_url(&request.url).map_err(denied)?;
    grants::check_grants(&call.destination.grants, &url).map_err(denied)?;
    for (name, _) in &request.headers {
        grants::check_header_name(name).map_err(denied)?;
    }
    check_size(call, request.body.as_ref())?;
    cost::check(&request.costs, call.gate.settings.max_request_costs).map_err(denied)?;
    // Once more at the dial; here so that no secret is looked up for an address that is refused.
    transfer::check_literal_address(call, &url)?;

    let searched = placeholders::searched_body(request.body.as_deref(), request.body_placeholders)
        .map_err(denied)?;
    let resolved = resolve(call, &request, searched, &url).await?;
    check_time(call)?;
    let shown_url = shown(&placeholders::hidden(&super::encoding::readable_braces(
        url.as_str(),
    )));
    let most = call.gate.settings.max_request_headers_bytes;
    resolved
        .fill_url(&mut url, most, MAX_HEADERS)
        .map_err(denied)?;
    let mut headers = headers(
        &resolved,
        &request.headers,
        most.saturating_sub(url.as_str().len() as u64),
    )?;
    if !resolved.is_empty() {
        check_whole(&headers)?;
    }
    if let (Some(traceparent), false) = (call.traceparent(), headers.contains_key(TRACEPARENT)) {
        headers.insert(TRACEPARENT, traceparent);
    }
    let body = match searched {
        Some(text) => {
            let filled = Filled::new(call.gate.settings.max_request_bytes, MAX_BODY);
            Some(
                resolved
                    .fill_body(text, request.body_placeholders, filled)
                    .map_err(denied)?
                    .into(),
            )
        }
        None => request.body.clone(),
    };
    check_time(call)?;
    let token = match request.auth {
        RequestAuth::Connection => attach(call, &url, &mut headers).await?,
        RequestAuth::None => None,
    };
    limit_encodings(call, &mut headers);

    let own_timeout = Some(call.destination.request_timeout_ms).filter(|&ms| ms > 0);
    let timeout_ms = request
        .timeout_ms
        .or(own_timeout)
        .unwrap_or(call.gate.settings.default_request_timeout_ms);
    let write = !request.reads_only;
    let prepared = Prepared {
        method,
        url,
        shown_url,
        headers,
        body,
        write,
        operation: request.operation,
        costs: request.costs,
        timeout_ms,
        max_bytes: 0,
        left,
    };
    Ok((prepared, token))
}

fn check_time(call: &CallState) -> Result<(), SendError> {
    if call.gate.clock.mono() < call.deadline {
        return Ok(());
    }
    Err(SendError::NeverSent(
        "the call's deadline has passed".to_owned(),
    ))
}

/// Before anything is read of a request: how much there is to read.
fn check_head(call: &CallState, request: &OutgoingRequest) -> Result<(), SendError> {
    let settings = &call.gate.settings;
    let (count, most) = (request.headers.len(), settings.max_request_headers);
    if count > most {
        return Err(SendError::Denied(format!(
            "there are {count} headers and {most} are allowed; raise `gate.max_request_headers`"
        )));
    }
    let headers: usize = request
        .headers
        .iter()
        .map(|(name, value)| grants::line_bytes(name, value.len()))
        .sum();
    let (bytes, most) = (
        (request.method.len() + request.url.len() + headers) as u64,
        settings.max_request_headers_bytes,
    );
    if bytes <= most {
        return Ok(());
    }
    Err(SendError::Denied(format!(
        "the URL and the headers have {bytes} bytes and {most} are allowed; raise `{MAX_HEADERS}`"
    )))
}

fn check_size(call: &CallState, body: Option<&Bytes>) -> Result<(), SendError> {
    let (bytes, most) = (
        body.map_or(0, Bytes::len) as u64,
        call.gate.settings.max_request_bytes,
    );
    if bytes <= most {
        return Ok(());
    }
    Err(SendError::Denied(format!(
        "the body has {bytes} bytes and {most} are allowed; raise `{MAX_BODY}`"
    )))
}

/// Looks up the placeholders of a request. Each may go to this host, or all is denied.
async fn resolve(
    call: &CallState,
    request: &OutgoingRequest,
    body: Option<&str>,
    url: &Url,
) -> Result<Resolved, SendError> {
    let wanted = wanted(call, request, body, url).map_err(SendError::Denied)?;
    let resolved = Resolved::look_up(&call.gate.vault, &call.destination, wanted)
        .await
        .map_err(SendError::Denied)?;
    for (name, secret) in resolved.secrets() {
        check_bound(name, &secret.bound_hosts, url)?;
    }
    call.mask_also(resolved.secrets().map(|(_, secret)| &secret.value));
    Ok(resolved)
}

fn wanted(
    call: &CallState,
    request: &OutgoingRequest,
    body: Option<&str>,
    url: &Url,
) -> Result<Wanted, String> {
    let mut wanted = Wanted::new(call.gate.settings.max_placeholders);
    for (_, value) in &request.headers {
        wanted.read(value)?;
    }
    for pair in placeholders::pairs(url.query().unwrap_or_default()) {
        wanted.read(&pair)?;
    }
    match body {
        Some(form) if request.body_placeholders == BodyPlaceholders::Form => {
            for pair in placeholders::pairs(form) {
                wanted.read(&pair)?;
            }
        }
        Some(text) => wanted.read(text)?,
        None => {}
    }
    Ok(wanted)
}

fn check_bound(name: &str, bound_hosts: &[String], url: &Url) -> Result<(), SendError> {
    if grants::is_bound_to(bound_hosts, url) {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    Err(SendError::Denied(format!(
        "the secret `{name}` was not entered for {host}; a request there needs no credential or its own"
    )))
}

fn headers(
    resolved: &Resolved,
    given: &[(String, String)],
    most: u64,
) -> Result<HeaderMap, SendError> {
    let mut headers = HeaderMap::with_capacity(given.len());
    let mut left = most;
    for (name, value) in given {
        let filled = resolved
            .fill_plain(value, left, MAX_HEADERS)
            .map_err(SendError::Denied)?;
        let bytes = filled.expose_secret().as_bytes();
        left = left.saturating_sub(grants::line_bytes(name, bytes.len()) as u64);
        let name = grants::check_header_name(name).map_err(SendError::Denied)?;
        let mut header = HeaderValue::from_bytes(bytes)
            .map_err(|_| SendError::Denied(format!("the value of `{name}` is no header value")))?;
        header.set_sensitive(placeholders::occurs_in(value));
        headers.append(name, header);
    }
    Ok(headers)
}

/// A secret of which a range cuts off a piece would not be known again in the answer, so it would
/// not be masked.
fn check_whole(headers: &HeaderMap) -> Result<(), SendError> {
    if !headers.contains_key(RANGE) {
        return Ok(());
    }
    Err(SendError::Denied(
        "a request that carries a secret cannot ask for a `range`".to_owned(),
    ))
}

/// Puts in the owner's credential, as its document says.
async fn attach(
    call: &CallState,
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
            let asked = ClientCredentials {
                token_url,
                client_id,
                scope: scope.as_deref(),
            };
            let token = Box::pin(call.gate.tokens.token(call, &asked)).await?;
            check_bound(CLIENT_SECRET, &token.bound_hosts, url)?;
            (token.value.clone(), Some(token))
        }
    };
    if headers.contains_key(AUTHORIZATION) {
        return Err(SendError::Denied(
            "the host attaches `authorization`; send the request's own with auth `none`".to_owned(),
        ));
    }
    check_whole(headers)?;
    call.mask_also([&value]);
    headers.insert(AUTHORIZATION, bearer_header(&value)?);
    Ok(token)
}

async fn bearer(call: &CallState) -> Result<Secret, SendError> {
    let secret = call
        .gate
        .vault
        .get(&call.destination.owner, BEARER_TOKEN)
        .await;
    let secret = secret.map_err(|e| SendError::NeverSent(e.to_string()))?;
    let secret = secret.filter(|s| !s.is_expired(call.gate.clock.wall()));
    secret.ok_or_else(|| {
        SendError::CredentialRefused("no token is entered, or it is past its time".to_owned())
    })
}

fn bearer_header(token: &SecretString) -> Result<HeaderValue, SendError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| {
            SendError::CredentialRefused(
                "the token holds characters that no header takes".to_owned(),
            )
        })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A secret in a compressed answer cannot be found without unpacking it, so only what the host
/// unpacks is asked for.
fn limit_encodings(call: &CallState, headers: &mut HeaderMap) {
    let Some(asked) = headers.get(ACCEPT_ENCODING) else {
        return;
    };
    if call.with_mask(super::masking::Mask::is_empty) {
        return;
    }
    let gzip = asked
        .to_str()
        .is_ok_and(|value| value.to_ascii_lowercase().contains("gzip"));
    headers.insert(
        ACCEPT_ENCODING,
        HeaderValue::from_static(if gzip { "gzip" } else { "identity" }),
    );
}

/// A 401 drops the token that it answers, and only that one.
async fn note_token(call: &CallState, token: &Token, status: u16) {
    let (gate, owner) = (&call.gate, &call.destination.owner);
    if status == 401 {
        gate.tokens
            .refused(&gate.vault, owner, token.generation, gate.clock.mono())
            .await;
    } else {
        gate.tokens.accepted(owner, token.generation);
    }
}
