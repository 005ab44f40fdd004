//! A Metadata API over HTTP: single and batch reads through the gate, with the source's own limit
//! and circuit.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use egression_core::domain::ids::SourceId;
use egression_core::domain::judge::retry_after_ms;
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::{Mono, Wall};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::answer::{batch, is_broken_object, not_found, one, too_large};
use super::circuit::Circuit;
use super::collector::{Answer, lock};
use super::settings::ResolverSettings;
use super::{ResolveError, shared_trace};
use crate::clock::Clock;
use crate::documents::model::SourceDocument;
use crate::gate::Gate;
use crate::gate::exchange::{BodyPlaceholders, OutgoingRequest, RequestAuth, SendError};
use crate::rng::Rng;
use crate::telemetry::metrics;

/// Room for the frame around a body in an answer.
const FRAME_BYTES: u64 = 4096;

#[derive(Debug)]
pub(super) struct HttpSource {
    owner: String,
    /// Its name, as a label of metrics.
    name: Arc<str>,
    document: SourceDocument,
    settings: ResolverSettings,
    gate: Arc<Gate>,
    clock: Clock,
    rng: Rng,
    circuit: Arc<Mutex<Circuit>>,
}

/// How a request to the source failed.
enum Failed {
    /// This request, for the objects asked.
    Rejected(ResolveError),
    Source {
        retry_after_ms: Option<u64>,
        until: Option<Wall>,
        problem: Problem,
    },
}

impl Failed {
    /// The source failed and does not say for how long.
    const fn by_itself(problem: Problem) -> Self {
        Self::Source {
            retry_after_ms: None,
            until: None,
            problem,
        }
    }
}

impl HttpSource {
    pub(super) fn new(
        id: SourceId,
        document: SourceDocument,
        settings: ResolverSettings,
        gate: Arc<Gate>,
        clock: Clock,
        rng: Rng,
        circuit: Arc<Mutex<Circuit>>,
    ) -> Self {
        Self {
            owner: format!("source:{id}"),
            name: document.name.as_str().into(),
            document,
            settings,
            gate,
            clock,
            rng,
            circuit,
        }
    }

    /// Objects in one batch read; 1 where the source has only single reads.
    pub(super) fn max_batch(&self) -> usize {
        if self.document.batch_url.is_some() {
            self.document.max_batch.max(1) as usize
        } else {
            1
        }
    }

    /// Reads objects of one type, each for its trace, in their order.
    pub(super) async fn read(
        &self,
        objects: &[ObjectKey],
        traces: &[Option<String>],
    ) -> Vec<Answer> {
        let answers = match &self.document.batch_url {
            Some(url) if objects.len() > 1 || self.document.object_url.is_none() => {
                self.read_batch(url, objects, traces).await
            }
            _ => self.read_singly(objects, traces).await,
        };
        for answer in &answers {
            metrics::source_object(
                &self.name,
                answer.as_ref().err().map_or("read", ResolveError::as_str),
            );
        }
        answers
    }

    /// Reads in batches. One whose answer is cut off, or that the source refuses for what is in it,
    /// is read in halves, down to the object that is at fault.
    async fn read_batch(
        &self,
        url: &str,
        objects: &[ObjectKey],
        traces: &[Option<String>],
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(objects.len());
        let mut parts = vec![(objects, traces)];
        while let Some((part, traces)) = parts.pop() {
            let middle = part.len() / 2;
            let halves = part.split_at(middle);
            let traces_of_halves = traces.split_at(middle);
            match self.read_part(url, part, traces).await {
                Part::Read(read) => answers.extend(read),
                Part::CutOff if part.len() == 1 => {
                    answers.push(Err(too_large(&part[0], self.document.max_object_bytes)))
                }
                Part::Refused(error) if part.len() == 1 => answers.push(Err(error)),
                Part::CutOff | Part::Refused(_) => parts.extend([
                    (halves.1, traces_of_halves.1),
                    (halves.0, traces_of_halves.0),
                ]),
                Part::Failed(error) => answers.extend(part.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    async fn read_part(&self, url: &str, objects: &[ObjectKey], traces: &[Option<String>]) -> Part {
        let ids: Vec<&str> = objects.iter().map(|o| o.id.as_str()).collect();
        let object_type = objects.first().map_or("", |o| o.object_type.as_str());
        let body = serde_json::json!({"type": object_type, "ids": ids}).to_string();
        let cap =
            (self.document.max_object_bytes + FRAME_BYTES).saturating_mul(objects.len() as u64);
        let trace = shared_trace(traces.iter().map(Option::as_deref));
        match self
            .request("POST", url.to_owned(), Some(body), cap, trace)
            .await
        {
            Ok((bytes, false)) => match batch(objects, &bytes, self.document.max_object_bytes) {
                Ok(read) => {
                    self.answered();
                    Part::Read(read)
                }
                // JSON that breaks off in the middle is one object's: the halves find it.
                Err(problem) if is_broken_object(&bytes) => {
                    self.answered();
                    Part::Refused(ResolveError::Rejected(problem))
                }
                Err(problem) => Part::Failed(self.outcome(Failed::by_itself(*problem))),
            },
            Ok((_, true)) => {
                self.answered();
                Part::CutOff
            }
            Err(Failed::Rejected(error)) => Part::Refused(error),
            Err(failed) => Part::Failed(self.outcome(failed)),
        }
    }

    async fn read_singly(&self, objects: &[ObjectKey], traces: &[Option<String>]) -> Vec<Answer> {
        // Boxed, so that the future does not depend on the lifetimes of the stream's closure.
        let each = objects.iter().zip(traces);
        let reads: Vec<BoxFuture<'_, Answer>> = each
            .map(|(object, trace)| self.read_one(object, trace.as_deref()).boxed())
            .collect();
        stream::iter(reads)
            .buffered(self.settings.concurrency.max(1))
            .collect()
            .await
    }

    async fn read_one(&self, object: &ObjectKey, trace: Option<&str>) -> Answer {
        let Some(template) = &self.document.object_url else {
            return Err(ResolveError::rejected(Problem::new(
                "source.no_url",
                "the source has neither `object_url` nor `batch_url`",
            )));
        };
        let url = object_url(template, object)?;
        match self
            .request(
                "GET",
                url,
                None,
                self.document.max_object_bytes + FRAME_BYTES,
                trace,
            )
            .await
        {
            Ok((_, true)) => {
                self.answered();
                Err(too_large(object, self.document.max_object_bytes))
            }
            Ok((bytes, false)) => match one(object, &bytes, self.document.max_object_bytes) {
                Ok(read) => {
                    self.answered();
                    read
                }
                Err(problem) if is_broken_object(&bytes) => {
                    self.answered();
                    Err(ResolveError::Rejected(problem))
                }
                Err(problem) => Err(self.outcome(Failed::by_itself(*problem))),
            },
            Err(Failed::Rejected(ResolveError::Rejected(problem)))
                if problem.http_status == Some(404) =>
            {
                Err(not_found(object))
            }
            Err(failed) => Err(self.outcome(failed)),
        }
    }

    /// One request; the answer's body, and whether it was cut off at `cap` bytes. Whoever reads the
    /// body says whether the source works: an answer of status 200 may be a page that says that it
    /// does not.
    async fn request(
        &self,
        method: &str,
        url: String,
        body: Option<String>,
        cap: u64,
        trace: Option<&str>,
    ) -> Result<(Bytes, bool), Failed> {
        let now = self.clock.mono();
        let deadline: Mono = now.plus_ms(self.document.timeout_ms);
        lock(&self.circuit)
            .try_pass(now, deadline)
            .map_err(|until| Failed::Source {
                retry_after_ms: None,
                until: Some(self.clock.wall_of(until)),
                problem: Problem::new(
                    "source.circuit_open",
                    "the source failed repeatedly and is left alone for a while",
                ),
            })?;
        let Some(destination) = self.gate.destination(&self.owner) else {
            lock(&self.circuit).not_tried();
            return Err(Failed::Rejected(ResolveError::rejected(Problem::new(
                "source.unknown",
                "the source is not configured any more",
            ))));
        };
        let call = self.gate.open_call(destination, 0, deadline, 1);
        if let Some(trace) = trace {
            call.trace(trace);
        }
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let request = OutgoingRequest {
            method: method.to_owned(),
            url,
            headers,
            body: body.map(Bytes::from),
            body_placeholders: BodyPlaceholders::None,
            reads_only: true,
            auth: RequestAuth::Connection,
            operation: None,
            costs: Vec::new(),
            timeout_ms: Some(self.document.timeout_ms),
            max_response_bytes: Some(cap),
        };
        let batch = request.method == "POST";
        let answer = call.send(request).await;
        metrics::source_request(
            &self.name,
            answer.as_ref().map(|a| a.status),
            self.clock.mono().since_us(now),
        );
        let verdict = match answer {
            Ok(answer) if answer.status == 200 => Ok((answer.body, answer.truncated)),
            Ok(answer) => Err(status_failed(
                answer.status,
                &answer.headers,
                batch,
                self.clock.wall(),
            )),
            Err(error) => Err(send_failed(error)),
        };
        match &verdict {
            // Our own limit had no room, which says nothing about the source.
            Err(Failed::Source { until: Some(_), .. }) => lock(&self.circuit).not_tried(),
            // Counted where the wait is drawn, and where the body is read.
            Err(Failed::Source { .. }) | Ok(_) => {}
            Err(Failed::Rejected(_)) => self.answered(),
        }
        verdict
    }

    fn answered(&self) {
        lock(&self.circuit).succeeded();
    }

    fn outcome(&self, failed: Failed) -> ResolveError {
        match failed {
            Failed::Rejected(error) => error,
            Failed::Source {
                until: Some(until),
                problem,
                ..
            } => ResolveError::unavailable(until, problem),
            Failed::Source {
                until: None,
                retry_after_ms,
                problem,
            } => {
                let until = lock(&self.circuit).failed(
                    self.clock.mono(),
                    retry_after_ms,
                    self.rng.jitter(),
                    &self.settings,
                );
                ResolveError::unavailable(self.clock.wall_of(until), problem)
            }
        }
    }
}

/// One request of a batch read.
enum Part {
    /// Answers in the order of the objects.
    Read(Vec<Answer>),
    /// The answer is longer than the gate takes, or than so many bodies may be.
    CutOff,
    /// The source takes exception to something in the request.
    Refused(ResolveError),
    /// All its objects share this.
    Failed(ResolveError),
}

/// A segment that a URL's path does not keep: it names the folder itself or the one above (RFC
/// 3986, 5.2.4).
fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// A status that is not 200. Of a single read, 404 is about the object; what is no answer to a
/// read, and what says that there is none now, is about the source; other refusals may be about
/// what was asked.
fn status_failed(status: u16, headers: &[(String, String)], batch: bool, now: Wall) -> Failed {
    let problem =
        Problem::new("source.status", format!("the source answered {status}")).status(status);
    let retry_after_ms = headers
        .iter()
        .find(|(name, _)| name == "retry-after")
        .and_then(|(_, value)| retry_after_ms(value, now));
    match status {
        // 401 and 403 wait as well: the credential is the operator's to mend, and no job is lost
        // meanwhile.
        200..=399 | 401 | 403 | 405 | 408 | 425 | 429 | 500..=599 => Failed::Source {
            retry_after_ms,
            until: None,
            problem,
        },
        // A batch read names no object in its address: the endpoint is not there, so the set-up is
        // wrong.
        404 | 410 if batch => Failed::Source {
            retry_after_ms,
            until: None,
            problem,
        },
        _ => Failed::Rejected(ResolveError::rejected(problem)),
    }
}

fn send_failed(error: SendError) -> Failed {
    match &error {
        SendError::Limited { until, key } => Failed::Source {
            retry_after_ms: None,
            until: Some(*until),
            problem: Problem::new(
                "source.limited",
                format!("the source's limit {key} has no room"),
            ),
        },
        SendError::Unrecorded { until, .. } => Failed::Source {
            retry_after_ms: None,
            until: Some(*until),
            problem: Problem::new("source.limited", error.to_string()),
        },
        other => Failed::by_itself(Problem::new("source.unreachable", other.to_string())),
    }
}

/// The address of an object: the template with type and id as segments of its path.
fn object_url(template: &str, object: &ObjectKey) -> Result<String, ResolveError> {
    let segments = [&object.object_type, &object.id].map(|text| encoded(text));
    if segments.iter().any(|segment| is_dots(segment)) {
        let message =
            format!("{object} cannot be a segment of a URL's path; a batch read can name it");
        return Err(ResolveError::rejected(Problem::new(
            "source.id_unaddressable",
            message,
        )));
    }
    let [object_type, id] = segments;
    // The id last, and braces in either are encoded: nothing that was filled in is filled in again.
    Ok(template
        .replace("{type}", &object_type)
        .replace("{id}", &id))
}

/// Percent-encodes a path segment: everything but RFC 3986's unreserved characters.
fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => {
                text.push('%');
                text.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(id: &str) -> Result<String, ResolveError> {
        object_url(
            "https://pim.example/o/{type}/{id}",
            &ObjectKey::new("product", id),
        )
    }

    #[test]
    fn an_object_is_two_segments_of_the_path_whatever_its_id() {
        assert_eq!(
            url("10de:1c82/ä?").unwrap(),
            "https://pim.example/o/product/10de%3A1c82%2F%C3%A4%3F"
        );
        assert_eq!(url("../x").unwrap(), "https://pim.example/o/product/..%2Fx");
        assert_eq!(
            url("{type}").unwrap(),
            "https://pim.example/o/product/%7Btype%7D"
        );
        for dots in [".", ".."] {
            assert!(
                matches!(url(dots), Err(ResolveError::Rejected(p)) if p.code == "source.id_unaddressable"),
                "it would leave its folder"
            );
        }
    }

    #[test]
    fn what_is_no_answer_to_a_read_is_the_sources_failure() {
        let now = Wall(784_111_770_000);
        let date = [(
            "retry-after".to_owned(),
            "Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
        )];
        assert!(matches!(
            status_failed(503, &date, false, now),
            Failed::Source {
                retry_after_ms: Some(7000),
                ..
            }
        ));
        for status in [204, 301, 302, 405, 429] {
            assert!(
                matches!(
                    status_failed(status, &[], false, now),
                    Failed::Source { .. }
                ),
                "{status}"
            );
        }
        for status in [400, 404, 410, 413, 422] {
            assert!(
                matches!(status_failed(status, &[], false, now), Failed::Rejected(_)),
                "{status}"
            );
        }
        assert!(matches!(
            status_failed(404, &[], true, now),
            Failed::Source { .. }
        ));
    }
}
