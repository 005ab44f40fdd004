//! One request to a source, through the gate and the source's circuit breaker.

use std::sync::Arc;

use bytes::Bytes;
use egression_core::domain::backoff::{Backoff, Jitter};
use egression_core::domain::circuit_breaker::CircuitBreaker;
use egression_core::domain::ids::{Owner, SourceId};
use egression_core::domain::judge::retry_after_ms;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;
use parking_lot::Mutex;

use super::read::ResolveError;
use super::resolver_settings::ResolverSettings;
use crate::clock::Clock;
use crate::documents::model::SourceDocument;
use crate::gate::Gate;
use crate::gate::exchange::{BodyPlaceholders, OutgoingRequest, RequestAuth, SendError};
use crate::rng::Rng;
use crate::telemetry::metrics;

/// The longest `Retry-After` of a source, in milliseconds: a day. A destination's quota may be for
/// a month; a source that names a later time is most likely wrong, and holds up every channel that
/// reads from it.
pub const MAX_RETRY_AFTER_MS: u64 = 86_400_000;

#[derive(Debug)]
pub struct SourceClient {
    owner: Owner,
    /// The source's name, as a label of metrics.
    name: Arc<str>,
    timeout_ms: u64,
    gate: Arc<Gate>,
    clock: Clock,
    rng: Rng,
    breaker: Mutex<CircuitBreaker>,
}

/// A request to a source: a POST with a body, otherwise a GET.
#[derive(Debug)]
pub struct SourceRequest<'a> {
    pub url: String,
    pub body: Option<String>,
    pub max_response_bytes: u64,
    pub traceparent: Option<&'a str>,
}

/// Why a request brought no body.
#[derive(Debug)]
pub enum RequestError {
    /// The source refused this request, for the objects in it.
    Refused(Box<Problem>),
    /// All objects of the request share this error.
    Failed(ResolveError),
}

impl SourceClient {
    pub fn new(
        id: SourceId,
        document: &SourceDocument,
        settings: &ResolverSettings,
        gate: Arc<Gate>,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        let backoff = Backoff {
            base_ms: settings.retry_base_ms,
            max_ms: settings.retry_max_ms,
            jitter: Jitter::Half,
        };
        Self {
            owner: Owner::Source(id),
            name: document.name.as_str().into(),
            timeout_ms: document.timeout_ms,
            gate,
            clock,
            rng,
            breaker: Mutex::new(CircuitBreaker::new(settings.circuit_after, backoff)),
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The body of an answer with status 200, and whether it was cut off. The caller reads the body
    /// and reports [`Self::answered`] or [`Self::failed`]: status 200 may carry an error page.
    pub async fn request(&self, request: SourceRequest<'_>) -> Result<(Bytes, bool), RequestError> {
        let now = self.clock.mono();
        let deadline = now.plus_ms(self.timeout_ms);
        self.breaker
            .lock()
            .try_pass(now, deadline)
            .map_err(|until| {
                let message = "the source failed repeatedly; its circuit is open";
                let problem = Problem::new("source.circuit_open", message);
                let until = self.clock.wall_of(until);
                RequestError::Failed(ResolveError::unavailable(until, problem))
            })?;
        let Some(destination) = self.gate.destination(self.owner) else {
            self.breaker.lock().probe_withdrawn();
            let problem = Problem::new("source.unknown", "the source is no longer configured");
            return Err(RequestError::Refused(Box::new(problem)));
        };
        let call = self.gate.open_call(destination, 0, deadline, 1);
        if let Some(traceparent) = request.traceparent {
            call.trace(traceparent);
        }
        let batch = request.body.is_some();
        let answer = call.send(self.outgoing(request)).await;
        metrics::source_request(
            &self.name,
            answer
                .as_ref()
                .map(|answer| answer.status)
                .map_err(SendError::label),
            self.clock.mono().since_us(now),
        );
        match answer {
            Ok(answer) if answer.status == 200 => Ok((answer.body, answer.truncated)),
            Ok(answer) => {
                let (status, message) = (
                    answer.status,
                    format!("the source answered {}", answer.status),
                );
                let problem = Problem::new("source.status", message).status(status);
                if blames_source(status, batch) {
                    let retry_after_ms = retry_after(&answer.headers, self.clock.wall());
                    Err(RequestError::Failed(
                        self.failed_for(problem, retry_after_ms),
                    ))
                } else {
                    self.answered();
                    Err(RequestError::Refused(Box::new(problem)))
                }
            }
            Err(error) => Err(RequestError::Failed(self.not_answered(error))),
        }
    }

    fn outgoing(&self, request: SourceRequest<'_>) -> OutgoingRequest {
        let json = || "application/json".to_owned();
        let mut headers = vec![("accept".to_owned(), json())];
        if request.body.is_some() {
            headers.push(("content-type".to_owned(), json()));
        }
        OutgoingRequest {
            method: if request.body.is_some() {
                "POST"
            } else {
                "GET"
            }
            .to_owned(),
            url: request.url,
            headers,
            body: request.body.map(Bytes::from),
            body_placeholders: BodyPlaceholders::None,
            reads_only: true,
            auth: RequestAuth::Connection,
            operation: None,
            costs: Vec::new(),
            timeout_ms: Some(self.timeout_ms),
            max_response_bytes: Some(request.max_response_bytes),
        }
    }

    /// The source answered a read.
    pub fn answered(&self) {
        self.breaker.lock().succeeded();
    }

    /// The source failed: its jobs wait.
    pub fn failed(&self, problem: Problem) -> ResolveError {
        self.failed_for(problem, None)
    }

    fn failed_for(&self, problem: Problem, retry_after_ms: Option<u64>) -> ResolveError {
        let (now, random) = (self.clock.mono(), self.rng.jitter());
        let until = self.breaker.lock().failed(now, retry_after_ms, random);
        ResolveError::unavailable(self.clock.wall_of(until), problem)
    }

    fn not_answered(&self, error: SendError) -> ResolveError {
        let (until, message) = match &error {
            SendError::Limited { until, key } => {
                (*until, format!("the source's limit {key} has no room"))
            }
            SendError::Unrecorded { until, .. } => (*until, error.to_string()),
            other => return self.failed(Problem::new("source.unreachable", other.to_string())),
        };
        // Our own limit had no room, which says nothing about the source.
        self.breaker.lock().probe_withdrawn();
        ResolveError::unavailable(until, Problem::new("source.limited", message))
    }
}

/// Whether a status other than 200 is the source's failure, so that its jobs wait. Otherwise the
/// source refuses the objects in the request.
const fn blames_source(status: u16, batch: bool) -> bool {
    match status {
        // 401 and 403 wait as well: the operator mends the credential, and no job is lost.
        200..=399 | 401 | 403 | 405 | 408 | 425 | 429 | 500..=599 => true,
        // A batch read names no object in its URL: the endpoint is missing, so the setup is wrong.
        404 | 410 => batch,
        _ => false,
    }
}

fn retry_after(headers: &[(String, String)], now: Wall) -> Option<u64> {
    let (_, value) = headers.iter().find(|(name, _)| name == "retry-after")?;
    Some(retry_after_ms(value, now)?.min(MAX_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_without_an_answer_to_a_read_blame_the_source() {
        for status in [204, 301, 302, 401, 403, 405, 408, 429, 500, 503] {
            assert!(
                blames_source(status, false) && blames_source(status, true),
                "{status}"
            );
        }
        for status in [400, 413, 422] {
            assert!(
                !blames_source(status, false) && !blames_source(status, true),
                "{status}"
            );
        }
        for status in [404, 410] {
            assert!(
                !blames_source(status, false) && blames_source(status, true),
                "{status}"
            );
        }
    }

    #[test]
    fn retry_after_of_a_source_is_a_day_at_most() {
        let now = Wall(784_111_770_000);
        let header = |value: &str| [("retry-after".to_owned(), value.to_owned())];
        assert_eq!(
            retry_after(&header("Sun, 06 Nov 1994 08:49:37 GMT"), now),
            Some(7000)
        );
        assert_eq!(retry_after(&header("90000"), now), Some(24 * 3_600_000));
        assert_eq!(retry_after(&[], now), None);
    }
}
