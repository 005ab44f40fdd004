//! One request on the wire: acquire its limits, dial, read the response, and record it in the
//! call's ledger.
//!
//! Whether a failed request left is decided by one fact: whether the HTTP engine polled the body.
//! The engine polls it at the moment it writes the request's head, on HTTP/1.1 and HTTP/2 alike,
//! and never before. Not polled: no byte left, even if a kept connection turned out to be closed.
//! Polled: the request counts as sent, whatever the error. (If a closed connection returns a
//! request unstarted, it goes to another connection. That is its first time on the wire, not a
//! repeat.)

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use egression_core::time::Mono;
use http_body::{Body as HttpBody, Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Body, Method};
use url::{Host, Url};

use super::context::{CallContext, Flight};
use super::exchange_record;
use crate::gate::exchange::{Exchange, ExchangeEnd, SendError};
use crate::gate::limiter::acquire::Refused;
use crate::gate::policy::address::{self, AddressRefused};
use crate::gate::policy::cost::{self, Cost};
use crate::telemetry::metrics;

/// The shortest rest of a request whose use of a limit could not be stored, in milliseconds.
const UNRECORDED_REST_MS: i64 = 1000;

/// A request ready to leave, with its secrets.
pub struct PreparedRequest {
    pub method: Method,
    pub url: Url,
    pub shown_url: String,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    pub write: bool,
    pub operation: Option<String>,
    pub costs: Vec<Cost>,
    pub timeout_ms: u64,
    /// Bytes of the response's body to read.
    pub max_bytes: u64,
    /// Set when the first byte is written.
    pub left: Arc<AtomicBool>,
}

/// A response before redaction.
pub struct RawResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most as many bytes as requested.
    pub body: Bytes,
    pub more: bool,
    pub duration_ms: u64,
}

/// Acquires the request's limits, sends it and reads the whole response. The ledger records the
/// exchange, whatever its end.
pub async fn dial(call: &CallContext, request: PreparedRequest) -> Result<RawResponse, SendError> {
    let gate = &call.gate;
    // Token requests of the host take this way, too.
    check_literal_address(call, &request.url)?;
    let shares = call
        .destination
        .shares(request.operation.as_deref(), &request.costs);
    warn_of_unstated_costs(call, &request);
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut record = Exchange {
        at: gate.clock.wall(),
        method: request.method.to_string(),
        url: request.shown_url.clone(),
        end: ExchangeEnd::Answered,
        status: None,
        duration_ms: 0,
        error: None,
        write: request.write,
        idempotency_key: exchange_record::idempotency_key(headers),
    };
    let requested = gate.clock.mono();
    let owner = call.destination.owner;
    let acquired = gate
        .limiter
        .acquire(
            owner,
            &shares,
            &call.reservation,
            call.deadline,
            call.destination.passes_closures,
        )
        .await;
    let started = gate.clock.mono();
    let channel = call.destination.channel.as_ref();
    metrics::limit_waited(channel, started.since_us(requested));
    let admitted = acquired.is_ok();
    record.at = gate.clock.wall();
    let result = match acquired {
        // The concurrency slot is held until the last byte of the response.
        Ok(_acquired) => exchange(call, request, started).await,
        Err(refused) => Err(not_acquired(call, refused)),
    };
    let took_us = gate.clock.mono().since_us(started);
    metrics::gate_request(
        channel,
        result
            .as_ref()
            .map(|response| response.status)
            .map_err(SendError::label),
        admitted.then_some(took_us),
    );
    record.duration_ms = took_us / 1000;
    match &result {
        Ok(response) => record.status = Some(response.status),
        Err(error) => {
            record.end = ExchangeEnd::from(error);
            record.error = Some(call.redact(&error.to_string()));
        }
    }
    call.record(record);
    result
}

/// If a request states costs but not the cost that a limit counts, that name may be misspelled, and
/// the limit would admit more than the destination does.
fn warn_of_unstated_costs(call: &CallContext, request: &PreparedRequest) {
    if request.costs.is_empty() {
        return;
    }
    for limit in call
        .destination
        .unstated(request.operation.as_deref(), &request.costs)
    {
        if call.gate.limiter.budget().is_new_unstated(&limit.key) {
            let counts = limit.counts.as_deref().unwrap_or_default();
            let owner = call.destination.owner;
            tracing::warn!(
                limit = %limit.key, counts, %owner,
                "request does not state this limit's cost and counts as 1; check the cost's name"
            );
        }
    }
}

fn not_acquired(call: &CallContext, refused: Refused) -> SendError {
    match refused {
        Refused::Limited { until, key } => SendError::Limited {
            until: call.gate.clock.wall_of(until),
            key: key.to_string(),
        },
        Refused::TooCostly { key, units, most } => {
            SendError::TooCostly(cost::too_costly(&key, units, most))
        }
        Refused::Unrecorded(why) => SendError::Unrecorded {
            until: call.gate.clock.wall().plus_ms(UNRECORDED_REST_MS),
            why,
        },
    }
}

/// Checks an address in the URL itself. Names are checked when the dial resolves them.
pub fn check_literal_address(call: &CallContext, url: &Url) -> Result<(), SendError> {
    let literal: IpAddr = match url.host() {
        Some(Host::Ipv4(v4)) => v4.into(),
        Some(Host::Ipv6(v6)) => v6.into(),
        _ => return Ok(()),
    };
    address::check(literal, &call.destination.allow_addresses)
        .map_err(|refused| SendError::Denied(refused.to_string()))
}

async fn exchange(
    call: &CallContext,
    request: PreparedRequest,
    started: Mono,
) -> Result<RawResponse, SendError> {
    let gate = &call.gate;
    let end = started.plus_ms(request.timeout_ms).min(call.deadline);
    if started >= end {
        return Err(SendError::NeverSent(
            "the call's deadline has passed".to_owned(),
        ));
    }
    let client = gate
        .clients
        .client(&call.destination.allow_addresses)
        .map_err(|e| SendError::NeverSent(describe(&e)))?;
    let left = request.left;
    let flight = Flight::begin(call, request.write, Arc::clone(&left));
    let max_bytes = request.max_bytes;
    let outgoing = client
        .request(request.method.clone(), request.url)
        .headers(with_length(
            request.headers,
            &request.method,
            request.body.as_ref(),
        ))
        .body(Body::wrap(WatchedBody {
            bytes: request.body.filter(|b| !b.is_empty()),
            polled: Arc::clone(&left),
        }));
    let whole = Box::pin(async move { read(outgoing.send().await?, max_bytes).await });
    let result = match tokio::time::timeout_at(gate.clock.instant(end), whole).await {
        Ok(Ok(mut response)) => {
            response.duration_ms = gate.clock.mono().since_ms(started);
            Ok(response)
        }
        Ok(Err(error)) => Err(failure(&error, left.load(Ordering::Acquire))),
        Err(_) if left.load(Ordering::Acquire) => Err(SendError::SentWithoutAnswer(format!(
            "no complete response within {} ms",
            end.since_ms(started)
        ))),
        Err(_) => Err(SendError::NeverSent(format!(
            "no connection within {} ms",
            end.since_ms(started)
        ))),
    };
    if result.is_ok() {
        flight.answered();
    }
    result
}

/// A write without a body states its length, because some servers answer 411 otherwise.
fn with_length(mut headers: HeaderMap, method: &Method, body: Option<&Bytes>) -> HeaderMap {
    let writes = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if writes && body.is_none_or(Bytes::is_empty) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers
}

async fn read(
    mut response: reqwest::Response,
    max_bytes: u64,
) -> Result<RawResponse, reqwest::Error> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut body = BytesMut::new();
    let mut more = false;
    while let Some(chunk) = response.chunk().await? {
        let room = max_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            more = true;
            break;
        }
    }
    let status = response.status().as_u16();
    Ok(RawResponse {
        status,
        headers: std::mem::take(response.headers_mut()),
        body: body.freeze(),
        more,
        duration_ms: 0,
    })
}

fn failure(error: &reqwest::Error, left: bool) -> SendError {
    if let Some(refused) = refused_address(error) {
        return SendError::Denied(refused.to_string());
    }
    if left && !error.is_connect() {
        SendError::SentWithoutAnswer(describe(error))
    } else {
        SendError::NeverSent(describe(error))
    }
}

fn refused_address(error: &reqwest::Error) -> Option<&AddressRefused> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(refused) = error.downcast_ref::<AddressRefused>() {
            return Some(refused);
        }
        source = error.source();
    }
    None
}

/// The causes, outermost first, without the URL, which may contain a secret.
fn describe(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let cause = error.to_string();
        if causes.last() != Some(&cause) {
            causes.push(cause);
        }
        source = error.source();
    }
    if causes.is_empty() {
        "the request failed".to_owned()
    } else {
        causes.join(": ")
    }
}

/// A body that records whether it was polled.
struct WatchedBody {
    bytes: Option<Bytes>,
    polled: Arc<AtomicBool>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.polled.store(true, Ordering::Release);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.polled.store(true, Ordering::Release);
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
