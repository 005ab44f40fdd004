//! Everything that is decided about a request before its limits: shape, grants, size, secrets and
//! credential.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use super::authorization;
use super::context::CallContext;
use super::dial::{self, PreparedRequest};
use super::exchange_record;
use super::token_cache::Token;
use crate::gate::credentials::placeholders::{self, Placeholders};
use crate::gate::credentials::redact::Redactor;
use crate::gate::credentials::substitute::{BoundedText, ResolvedSecrets};
use crate::gate::exchange::{BodyPlaceholders, OutgoingRequest, RequestAuth, SendError};
use crate::gate::policy::{cost, grants, request_shape};

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// The settings that bound a request before and after substitution.
const MAX_BODY: &str = "gate.max_request_bytes";
const MAX_HEADERS: &str = "gate.max_request_headers_bytes";

/// Checks a request and puts its secrets in. Returns the attached token if the host fetched it.
pub async fn prepare(
    call: &CallContext,
    request: OutgoingRequest,
    left: Arc<AtomicBool>,
) -> Result<(PreparedRequest, Option<Token>), SendError> {
    check_time(call)?;
    call.load_secrets().await;
    let denied = SendError::Denied;
    check_head(call, &request)?;
    let method = request_shape::check_method(&request.method).map_err(denied)?;
    let mut url = request_shape::check_url(&request.url).map_err(denied)?;
    grants::check_grants(&call.destination.grants, &url).map_err(denied)?;
    for (name, _) in &request.headers {
        request_shape::check_header_name(name).map_err(denied)?;
    }
    check_size(call, request.body.as_ref())?;
    cost::check(&request.costs, call.gate.settings.max_request_costs).map_err(denied)?;
    // The dial checks this again; here it avoids a secret's lookup for a refused address.
    dial::check_literal_address(call, &url)?;

    let searched = placeholders::searched_body(request.body.as_deref(), request.body_placeholders)
        .map_err(denied)?;
    let secrets = resolve(call, &request, searched, &url).await?;
    check_time(call)?;
    let shown_url = exchange_record::url_for_people(&url);
    let most = call.gate.settings.max_request_headers_bytes;
    secrets
        .substitute_url(&mut url, most, MAX_HEADERS)
        .map_err(denied)?;
    let left_bytes = most.saturating_sub(url.as_str().len() as u64);
    let mut headers = headers(&secrets, &request.headers, left_bytes)?;
    if !secrets.is_empty() {
        authorization::check_no_range(&headers)?;
    }
    if let (Some(traceparent), false) = (call.traceparent(), headers.contains_key(TRACEPARENT)) {
        headers.insert(TRACEPARENT, traceparent);
    }
    let body = match searched {
        Some(text) => {
            let bounded = BoundedText::new(call.gate.settings.max_request_bytes, MAX_BODY);
            let body = secrets.substitute_body(text, request.body_placeholders, bounded);
            Some(body.map_err(denied)?.into())
        }
        None => request.body.clone(),
    };
    check_time(call)?;
    let token = match request.auth {
        RequestAuth::Connection => authorization::attach(call, &url, &mut headers).await?,
        RequestAuth::None => None,
    };
    limit_encodings(call, &mut headers);

    let own_timeout = Some(call.destination.request_timeout_ms).filter(|&ms| ms > 0);
    let timeout_ms = request
        .timeout_ms
        .or(own_timeout)
        .unwrap_or(call.gate.settings.default_request_timeout_ms);
    let prepared = PreparedRequest {
        method,
        url,
        shown_url,
        headers,
        body,
        write: !request.reads_only,
        operation: request.operation,
        costs: request.costs,
        timeout_ms,
        max_bytes: 0,
        left,
    };
    Ok((prepared, token))
}

fn check_time(call: &CallContext) -> Result<(), SendError> {
    if call.gate.clock.mono() < call.deadline {
        return Ok(());
    }
    Err(SendError::NeverSent(
        "the call's deadline has passed".to_owned(),
    ))
}

/// Checks the size of the head before anything in it is parsed.
fn check_head(call: &CallContext, request: &OutgoingRequest) -> Result<(), SendError> {
    let settings = &call.gate.settings;
    let (count, most) = (request.headers.len(), settings.max_request_headers);
    if count > most {
        return Err(SendError::Denied(format!(
            "the request has {count} headers and {most} are allowed; \
             raise `gate.max_request_headers`"
        )));
    }
    let headers: usize = request
        .headers
        .iter()
        .map(|(name, value)| request_shape::line_bytes(name, value.len()))
        .sum();
    let bytes = (request.method.len() + request.url.len() + headers) as u64;
    let most = settings.max_request_headers_bytes;
    if bytes <= most {
        return Ok(());
    }
    Err(SendError::Denied(format!(
        "the URL and the headers have {bytes} bytes and {most} are allowed; raise `{MAX_HEADERS}`"
    )))
}

fn check_size(call: &CallContext, body: Option<&Bytes>) -> Result<(), SendError> {
    let bytes = body.map_or(0, Bytes::len) as u64;
    let most = call.gate.settings.max_request_bytes;
    if bytes <= most {
        return Ok(());
    }
    Err(SendError::Denied(format!(
        "the body has {bytes} bytes and {most} are allowed; raise `{MAX_BODY}`"
    )))
}

/// Looks up the secrets of a request's placeholders. If one of them may not go to this host, the
/// whole request is denied.
async fn resolve(
    call: &CallContext,
    request: &OutgoingRequest,
    body: Option<&str>,
    url: &Url,
) -> Result<ResolvedSecrets, SendError> {
    let placeholders = placeholders_of(call, request, body, url).map_err(SendError::Denied)?;
    let secrets = ResolvedSecrets::look_up(&call.gate.vault, &call.destination, placeholders)
        .await
        .map_err(SendError::Denied)?;
    for (name, secret) in secrets.iter() {
        authorization::check_bound(name, &secret.bound_hosts, url)?;
    }
    call.redact_sent(secrets.iter().map(|(_, secret)| &secret.value));
    Ok(secrets)
}

fn placeholders_of(
    call: &CallContext,
    request: &OutgoingRequest,
    body: Option<&str>,
    url: &Url,
) -> Result<Placeholders, String> {
    let mut found = Placeholders::new(call.gate.settings.max_placeholders);
    for (_, value) in &request.headers {
        found.read(value)?;
    }
    for pair in placeholders::pairs(url.query().unwrap_or_default()) {
        found.read(&pair)?;
    }
    match body {
        Some(form) if request.body_placeholders == BodyPlaceholders::Form => {
            for pair in placeholders::pairs(form) {
                found.read(&pair)?;
            }
        }
        Some(text) => found.read(text)?,
        None => {}
    }
    Ok(found)
}

fn headers(
    secrets: &ResolvedSecrets,
    given: &[(String, String)],
    most: u64,
) -> Result<HeaderMap, SendError> {
    let mut headers = HeaderMap::with_capacity(given.len());
    let mut left = most;
    for (name, value) in given {
        let text = secrets
            .substitute(value, left, MAX_HEADERS)
            .map_err(SendError::Denied)?;
        let bytes = text.expose_secret().as_bytes();
        left = left.saturating_sub(request_shape::line_bytes(name, bytes.len()) as u64);
        let name = request_shape::check_header_name(name).map_err(SendError::Denied)?;
        let mut header = HeaderValue::from_bytes(bytes).map_err(|_| {
            SendError::Denied(format!("the value of `{name}` is not a valid header value"))
        })?;
        header.set_sensitive(placeholders::occurs_in(value));
        headers.append(name, header);
    }
    Ok(headers)
}

/// The redaction can search only responses that the host can decompress, so the request accepts no
/// other encoding.
fn limit_encodings(call: &CallContext, headers: &mut HeaderMap) {
    let Some(accepted) = headers.get(ACCEPT_ENCODING) else {
        return;
    };
    if call.with_redactor(Redactor::is_empty) {
        return;
    }
    let gzip = accepted
        .to_str()
        .is_ok_and(|value| value.to_ascii_lowercase().contains("gzip"));
    headers.insert(
        ACCEPT_ENCODING,
        HeaderValue::from_static(if gzip { "gzip" } else { "identity" }),
    );
}
