//! A request's way through the gate: prepare, dial, redact. A request that fails before the dial is
//! `Denied`, `Limited` or `NeverSent`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::authorization;
use super::context::CallContext;
use super::dial;
use super::exchange_record::UnsentRecord;
use super::prepare;
use super::response;
use crate::gate::exchange::{OutgoingRequest, Response, SendError};
use crate::telemetry::metrics;

/// Sends a request and returns what the guest may see of the response. Sets `left` when the first
/// byte is written.
pub async fn send(
    call: &CallContext,
    request: OutgoingRequest,
    left: Arc<AtomicBool>,
) -> Result<Response, SendError> {
    let max_bytes = response_bound(call, &request);
    let record = UnsentRecord::of(call, &request);
    let prepared = prepare::prepare(call, request, left).await;
    let (mut prepared, token) = prepared.inspect_err(|error| {
        metrics::gate_request(call.destination.channel.as_ref(), Err(error.label()), None);
        record.record(call, error);
    })?;
    prepared.max_bytes =
        max_bytes.saturating_add(call.with_redactor(|redactor| redactor.overlap_bytes() as u64));
    let outcome = dial::dial(call, prepared).await;
    if let (Ok(raw), Some(token)) = (&outcome, &token) {
        authorization::note_status(call, token, raw.status).await;
    }
    let max_headers = call.gate.settings.max_response_headers_bytes;
    match outcome {
        Ok(raw) => Ok(call
            .with_redactor(|redactor| response::redacted(raw, redactor, max_bytes, max_headers))),
        Err(SendError::Denied(why)) => Err(SendError::Denied(call.redact(&why))),
        Err(SendError::NeverSent(why)) => Err(SendError::NeverSent(call.redact(&why))),
        Err(SendError::SentWithoutAnswer(why)) => {
            Err(SendError::SentWithoutAnswer(call.redact(&why)))
        }
        Err(other) => Err(other),
    }
}

fn response_bound(call: &CallContext, request: &OutgoingRequest) -> u64 {
    let most = call.gate.settings.max_response_bytes;
    let own = Some(call.destination.max_response_bytes).filter(|&bytes| bytes > 0);
    request.max_response_bytes.or(own).unwrap_or(most).min(most)
}
