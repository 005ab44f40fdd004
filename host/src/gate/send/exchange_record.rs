//! How a request appears in a job's history: bounded, and without secrets.

use url::Url;

use super::context::CallContext;
use crate::gate::credentials::{encoding, placeholders};
use crate::gate::exchange::{Exchange, ExchangeEnd, OutgoingRequest, SendError};

/// The record of a request that ends before it is dialed, or that breaks off.
pub struct UnsentRecord(Exchange);

impl UnsentRecord {
    pub fn of(call: &CallContext, request: &OutgoingRequest) -> Self {
        /// Longer than every allowed method.
        const MAX_METHOD_CHARS: usize = 16;
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (&**name, value.as_bytes()));
        Self(Exchange {
            at: call.gate.clock.wall(),
            method: request.method.chars().take(MAX_METHOD_CHARS).collect(),
            url: placeholders::hidden(&start_of(&request.url)),
            end: ExchangeEnd::NeverSent,
            status: None,
            duration_ms: 0,
            error: None,
            write: !request.reads_only,
            idempotency_key: idempotency_key(headers),
        })
    }

    pub fn record(self, call: &CallContext, error: &SendError) {
        call.record(Exchange {
            end: ExchangeEnd::from(error),
            error: Some(call.redact(&error.to_string())),
            ..self.0
        });
    }
}

/// The value of a request's `Idempotency-Key` (the IETF draft of that name), if it is short enough
/// for one.
pub fn idempotency_key<'a>(
    mut headers: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<String> {
    const MAX_BYTES: usize = 255;
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))?;
    std::str::from_utf8(value)
        .ok()
        .filter(|key| key.len() <= MAX_BYTES)
        .map(str::to_owned)
}

/// A URL whose placeholders are not yet replaced.
pub fn url_for_people(url: &Url) -> String {
    start_of(&placeholders::hidden(&encoding::readable_braces(
        url.as_str(),
    )))
}

fn start_of(url: &str) -> String {
    const MAX_CHARS: usize = 2048;
    url.chars().take(MAX_CHARS).collect()
}
