//! One request over the wire: drawn from its limits, dialled, answered, and noted in the call's
//! ledger.
//!
//! Whether a failed request left is decided by one fact: its body's first question. The HTTP engine
//! asks a body whether it is at its end in the moment in which it writes the request's head, on
//! HTTP/1.1 and HTTP/2 alike, and not before. Not asked: no byte of the request left, also when a
//! kept connection turned out to be closed. Asked: it counts as sent, whatever the error. (A
//! request that a closed connection hands back unstarted goes to another connection; that is its
//! first time on the wire, not a repeat.)

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

use super::address::{self, AddressRefused};
use super::call::{CallState, Flight};
use super::cost::{self, Cost};
use super::draw::Refused;
use super::exchange::{Exchange, ExchangeEnd, SendError};
use super::send::key_of;
use crate::telemetry::metrics;

/// How long a request whose use of a limit could not be stored rests at least, in milliseconds.
const UNRECORDED_REST_MS: i64 = 1000;

/// A request as it leaves, secrets in place.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) shown_url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) write: bool,
    pub(super) operation: Option<String>,
    pub(super) costs: Vec<Cost>,
    pub(super) timeout_ms: u64,
    /// Bytes of the answer's body to read.
    pub(super) max_bytes: u64,
    /// Set as the first byte is written.
    pub(super) left: Arc<AtomicBool>,
}

/// An answer with nothing masked.
pub(super) struct RawAnswer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// At most as many bytes as asked for.
    pub(super) body: Bytes,
    pub(super) more: bool,
    pub(super) duration_ms: u64,
}

/// Draws, sends, reads the whole answer. The ledger knows of it whatever comes of it.
pub(super) async fn transfer(call: &CallState, request: Prepared) -> Result<RawAnswer, SendError> {
    let gate = &call.gate;
    // Every request passes here, those that the host makes for itself as well.
    check_literal_address(call, &request.url)?;
    let shares = call
        .destination
        .shares(request.operation.as_deref(), &request.costs);
    remark_unstated(call, &request);
    let mut noted = Exchange {
        at: gate.clock.wall(),
        method: request.method.to_string(),
        url: request.shown_url.clone(),
        end: ExchangeEnd::Answered,
        status: None,
        duration_ms: 0,
        error: None,
        write: request.write,
        idempotency_key: key_of(
            request
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        ),
    };
    // The slot is held until the answer's last byte.
    let asked = gate.clock.mono();
    let drawn = gate
        .limiter
        .draw(
            &call.destination.owner,
            &shares,
            &call.reservation,
            call.deadline,
        )
        .await;
    let started = gate.clock.mono();
    let channel = call.destination.channel.as_ref();
    metrics::limit_waited(channel, started.since_us(asked));
    let admitted = drawn.is_ok();
    noted.at = gate.clock.wall();
    let result = match drawn {
        Ok(_drawn) => exchange(call, request, started).await,
        Err(refused) => Err(not_drawn(call, refused)),
    };
    let took_us = gate.clock.mono().since_us(started);
    metrics::gate_request(
        channel,
        result
            .as_ref()
            .map(|answer| answer.status)
            .map_err(SendError::label),
        admitted.then_some(took_us),
    );
    noted.duration_ms = took_us / 1000;
    match &result {
        Ok(answer) => noted.status = Some(answer.status),
        Err(error) => {
            (noted.end, noted.error) = (
                ExchangeEnd::from(error),
                Some(call.redact(&error.to_string())),
            )
        }
    }
    call.note(noted);
    result
}

/// A limit that counts what a request does not state, though it states other costs, may be
/// misspelt: it would let through more than the destination does.
fn remark_unstated(call: &CallState, request: &Prepared) {
    if request.costs.is_empty() {
        return;
    }
    for limit in call
        .destination
        .unstated(request.operation.as_deref(), &request.costs)
    {
        if call.gate.limiter.budget().is_new_unstated(&limit.key) {
            let counts = limit.counts.as_deref().unwrap_or_default();
            let owner = &call.destination.owner;
            tracing::warn!(limit = %limit.key, counts, owner, "a request states no such cost and counts as 1; is the name right?");
        }
    }
}

fn not_drawn(call: &CallState, refused: Refused) -> SendError {
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

/// Names are checked when they are resolved, at the dial; a literal address is dialled without
/// that.
pub(super) fn check_literal_address(call: &CallState, url: &Url) -> Result<(), SendError> {
    let literal: IpAddr = match url.host() {
        Some(Host::Ipv4(v4)) => v4.into(),
        Some(Host::Ipv6(v6)) => v6.into(),
        _ => return Ok(()),
    };
    address::check(literal, &call.destination.allow_addresses)
        .map_err(|refused| SendError::Denied(refused.to_string()))
}

async fn exchange(
    call: &CallState,
    request: Prepared,
    started: Mono,
) -> Result<RawAnswer, SendError> {
    let gate = &call.gate;
    let end = started.plus_ms(request.timeout_ms).min(call.deadline);
    if started >= end {
        return Err(SendError::NeverSent(
            "the call's deadline has passed".to_owned(),
        ));
    }
    let client = gate
        .pool
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
            asked: Arc::clone(&left),
        }));
    let whole = Box::pin(async move { read(outgoing.send().await?, max_bytes).await });
    let result = match tokio::time::timeout_at(gate.clock.instant(end), whole).await {
        Ok(Ok(mut answer)) => {
            answer.duration_ms = gate.clock.mono().since_ms(started);
            Ok(answer)
        }
        Ok(Err(error)) => Err(failure(&error, left.load(Ordering::Acquire))),
        Err(_) if left.load(Ordering::Acquire) => Err(SendError::SentWithoutAnswer(format!(
            "no whole answer within {} ms",
            end.since_ms(started)
        ))),
        Err(_) => Err(SendError::NeverSent(format!(
            "no connection within {} ms",
            end.since_ms(started)
        ))),
    };
    flight.end(&result);
    result
}

/// A write without a body says so: some servers answer 411 to silence.
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
) -> Result<RawAnswer, reqwest::Error> {
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
    Ok(RawAnswer {
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

/// The causes, outermost first. The URL is left out: it may carry a secret.
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

/// A body that knows whether it was asked for.
struct WatchedBody {
    bytes: Option<Bytes>,
    asked: Arc<AtomicBool>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.asked.store(true, Ordering::Release);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.asked.store(true, Ordering::Release);
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
