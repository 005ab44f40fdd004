//! A Metadata API over HTTP: single and batch reads.

use std::sync::Arc;

use egression_core::domain::ids::SourceId;
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::object_url::object_url;
use super::read::{ReadResult, ResolveError, shared_trace};
use super::resolver_settings::ResolverSettings;
use super::source_answer::{batch, is_broken_object, not_found, one, too_large};
use super::source_client::{RequestError, SourceClient, SourceRequest};
use crate::clock::Clock;
use crate::documents::model::SourceDocument;
use crate::gate::Gate;
use crate::rng::Rng;
use crate::telemetry::metrics;

/// Room for the frame around a body in an answer.
const FRAME_BYTES: u64 = 4096;

#[derive(Debug)]
pub struct HttpSource {
    document: SourceDocument,
    client: SourceClient,
    /// Single reads at once.
    concurrency: usize,
}

/// The result of one batch request.
enum Part {
    /// Answers in the order of the objects.
    Read(Vec<ReadResult>),
    /// The answer is longer than the gate takes, or than this many bodies may be.
    CutOff,
    /// The source refuses something in the request.
    Refused(ResolveError),
    /// All its objects share this.
    Failed(ResolveError),
}

impl HttpSource {
    pub fn new(
        id: SourceId,
        document: SourceDocument,
        settings: &ResolverSettings,
        gate: Arc<Gate>,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        Self {
            client: SourceClient::new(id, &document, settings, gate, clock, rng),
            document,
            concurrency: settings.concurrency.max(1),
        }
    }

    /// Objects in one batch read; 1 if the source has only single reads.
    pub fn max_batch(&self) -> usize {
        match self.document.batch_url {
            Some(_) => self.document.max_batch.max(1) as usize,
            None => 1,
        }
    }

    /// Reads objects of one type, each for its trace, in their order.
    pub async fn read(&self, objects: &[ObjectKey], traces: &[Option<String>]) -> Vec<ReadResult> {
        let results = match &self.document.batch_url {
            Some(url) if objects.len() > 1 || self.document.object_url.is_none() => {
                self.read_batch(url, objects, traces).await
            }
            _ => self.read_singly(objects, traces).await,
        };
        for result in &results {
            let label = result.as_ref().err().map_or("read", ResolveError::as_str);
            metrics::source_object(self.client.name(), label);
        }
        results
    }

    /// Reads in batches. A batch whose answer is cut off, or that the source refuses for its
    /// content, is read in halves, down to the object at fault.
    async fn read_batch(
        &self,
        url: &str,
        objects: &[ObjectKey],
        traces: &[Option<String>],
    ) -> Vec<ReadResult> {
        let mut results = Vec::with_capacity(objects.len());
        let mut parts = vec![(objects, traces)];
        while let Some((objects, traces)) = parts.pop() {
            match (self.read_part(url, objects, traces).await, objects) {
                (Part::Read(read), _) => results.extend(read),
                (Part::CutOff, [object]) => {
                    results.push(Err(too_large(object, self.document.max_object_bytes)));
                }
                (Part::Refused(error), [_]) => results.push(Err(error)),
                (Part::CutOff | Part::Refused(_), _) => {
                    let middle = objects.len() / 2;
                    let (first, second) = objects.split_at(middle);
                    let (first_traces, second_traces) = traces.split_at(middle);
                    parts.extend([(second, second_traces), (first, first_traces)]);
                }
                (Part::Failed(error), _) => {
                    results.extend(objects.iter().map(|_| Err(error.clone())));
                }
            }
        }
        results
    }

    async fn read_part(&self, url: &str, objects: &[ObjectKey], traces: &[Option<String>]) -> Part {
        let ids: Vec<&str> = objects.iter().map(|object| object.id.as_str()).collect();
        let object_type = objects
            .first()
            .map_or("", |object| object.object_type.as_str());
        let max_bytes = self.document.max_object_bytes;
        let request = SourceRequest {
            url: url.to_owned(),
            body: Some(serde_json::json!({"type": object_type, "ids": ids}).to_string()),
            max_response_bytes: (max_bytes + FRAME_BYTES).saturating_mul(objects.len() as u64),
            traceparent: shared_trace(traces.iter().map(Option::as_deref)),
        };
        let bytes = match self.client.request(request).await {
            Ok((bytes, false)) => bytes,
            Ok((_, true)) => {
                self.client.answered();
                return Part::CutOff;
            }
            Err(RequestError::Refused(problem)) => {
                return Part::Refused(ResolveError::Rejected(problem));
            }
            Err(RequestError::Failed(error)) => return Part::Failed(error),
        };
        match batch(objects, &bytes, max_bytes) {
            Ok(read) => {
                self.client.answered();
                Part::Read(read)
            }
            // JSON that breaks off in the middle is the fault of one object: the halves find it.
            Err(problem) if is_broken_object(&bytes) => {
                self.client.answered();
                Part::Refused(ResolveError::Rejected(problem))
            }
            Err(problem) => Part::Failed(self.client.failed(*problem)),
        }
    }

    async fn read_singly(
        &self,
        objects: &[ObjectKey],
        traces: &[Option<String>],
    ) -> Vec<ReadResult> {
        // Boxed, so that the future does not depend on the lifetimes of the stream's closure.
        let reads: Vec<BoxFuture<'_, ReadResult>> = objects
            .iter()
            .zip(traces)
            .map(|(object, trace)| self.read_one(object, trace.as_deref()).boxed())
            .collect();
        stream::iter(reads)
            .buffered(self.concurrency)
            .collect()
            .await
    }

    async fn read_one(&self, object: &ObjectKey, trace: Option<&str>) -> ReadResult {
        let Some(template) = &self.document.object_url else {
            let message = "the source has neither `object_url` nor `batch_url`";
            return Err(ResolveError::rejected(Problem::new(
                "source.no_url",
                message,
            )));
        };
        let max_bytes = self.document.max_object_bytes;
        let request = SourceRequest {
            url: object_url(template, object)?,
            body: None,
            max_response_bytes: max_bytes + FRAME_BYTES,
            traceparent: trace,
        };
        let bytes = match self.client.request(request).await {
            Ok((bytes, false)) => bytes,
            Ok((_, true)) => {
                self.client.answered();
                return Err(too_large(object, max_bytes));
            }
            Err(RequestError::Refused(problem)) if problem.http_status == Some(404) => {
                return Err(not_found(object));
            }
            Err(RequestError::Refused(problem)) => return Err(ResolveError::Rejected(problem)),
            Err(RequestError::Failed(error)) => return Err(error),
        };
        match one(object, &bytes, max_bytes) {
            Ok(read) => {
                self.client.answered();
                read
            }
            Err(problem) if is_broken_object(&bytes) => {
                self.client.answered();
                Err(ResolveError::Rejected(problem))
            }
            Err(problem) => Err(self.client.failed(*problem)),
        }
    }
}
