//! Collects the reads of one source for a moment, groups them by type, and makes as few requests as
//! the source allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use egression_core::domain::ids::SourceId;
use egression_core::domain::object::ObjectKey;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::http_source::HttpSource;
use super::read::{Read, ReadResult, shared_trace};
use super::resolver_settings::ResolverSettings;
use crate::clock::Clock;
use crate::documents::model::SourceDocument;
use crate::gate::Gate;
use crate::rng::Rng;

/// A read that waits for its batch.
struct QueuedRead {
    read: Read,
    reply: oneshot::Sender<ReadResult>,
}

/// The entrance to one source.
#[derive(Debug)]
pub struct Collector {
    document: String,
    queue: mpsc::Sender<QueuedRead>,
}

impl Collector {
    /// Starts collecting for a source; ends when it is dropped and its last read is answered.
    pub fn start(
        id: SourceId,
        document: SourceDocument,
        settings: ResolverSettings,
        gate: Arc<Gate>,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        let (queue, incoming) = mpsc::channel(settings.queue);
        let fingerprint = fingerprint(&document);
        let source = Arc::new(HttpSource::new(id, document, &settings, gate, clock, rng));
        tokio::spawn(collect(incoming, source, settings));
        Self {
            document: fingerprint,
            queue,
        }
    }

    /// Whether it works by this document.
    pub fn is_of(&self, document: &SourceDocument) -> bool {
        self.document == fingerprint(document)
    }

    /// Queues a read; none if too many reads wait.
    pub fn enqueue(&self, read: Read) -> Option<oneshot::Receiver<ReadResult>> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send(QueuedRead { read, reply })
            .ok()
            .map(|()| answer)
    }
}

fn fingerprint(document: &SourceDocument) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

async fn collect(
    mut incoming: mpsc::Receiver<QueuedRead>,
    source: Arc<HttpSource>,
    settings: ResolverSettings,
) {
    let slots = Arc::new(Semaphore::new(settings.concurrency.max(1)));
    while let Some(first) = incoming.recv().await {
        // A free slot first: while the source is busy, more reads gather for the next batch.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let mut reads = vec![first];
        gather(
            &mut incoming,
            &mut reads,
            source.max_batch(),
            Duration::from_millis(settings.linger_ms),
        )
        .await;
        let mut slot = Some(slot);
        for group in by_type(reads) {
            let (source, slots) = (Arc::clone(&source), Arc::clone(&slots));
            let slot = slot.take();
            tokio::spawn(async move {
                let slot = match slot {
                    Some(slot) => Some(slot),
                    None => slots.acquire_owned().await.ok(),
                };
                answer(&source, group).await;
                drop(slot);
            });
        }
    }
}

async fn gather(
    incoming: &mut mpsc::Receiver<QueuedRead>,
    reads: &mut Vec<QueuedRead>,
    max: usize,
    linger: Duration,
) {
    let filling = async {
        while reads.len() < max {
            match incoming.recv().await {
                Some(read) => reads.push(read),
                None => return,
            }
        }
    };
    // A timeout is the usual end: the reads that gathered go.
    let _ = timeout(linger, filling).await;
}

fn by_type(reads: Vec<QueuedRead>) -> Vec<Vec<QueuedRead>> {
    let mut groups: BTreeMap<String, Vec<QueuedRead>> = BTreeMap::new();
    for read in reads {
        groups
            .entry(read.read.object.object_type.clone())
            .or_default()
            .push(read);
    }
    groups.into_values().collect()
}

async fn answer(source: &HttpSource, group: Vec<QueuedRead>) {
    let mut waiting: BTreeMap<ObjectKey, Vec<QueuedRead>> = BTreeMap::new();
    for read in group {
        waiting
            .entry(read.read.object.clone())
            .or_default()
            .push(read);
    }
    let objects: Vec<ObjectKey> = waiting.keys().cloned().collect();
    let traces: Vec<Option<String>> = waiting
        .values()
        .map(|reads| {
            let traces = reads
                .iter()
                .map(|queued| queued.read.traceparent.as_deref());
            shared_trace(traces).map(str::to_owned)
        })
        .collect();
    let answers = source.read(&objects, &traces).await;
    for (reads, answer) in waiting.into_values().zip(answers) {
        for QueuedRead { reply, .. } in reads {
            // The caller may have gone; the others still wait.
            let _ = reply.send(answer.clone());
        }
    }
}
