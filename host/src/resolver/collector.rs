//! One source's reads: collected for a moment, grouped by type, and made as few requests as the
//! source allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egression_core::domain::ids::SourceId;
use egression_core::domain::object::ObjectKey;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::circuit::Circuit;
use super::http_source::HttpSource;
use super::settings::ResolverSettings;
use super::{Read, ResolveError, Resolved, shared_trace};
use crate::clock::Clock;
use crate::documents::model::SourceDocument;
use crate::gate::Gate;
use crate::rng::Rng;

/// The answer to one ask.
pub(super) type Answer = Result<Resolved, ResolveError>;

struct Ask {
    read: Read,
    reply: oneshot::Sender<Answer>,
}

/// The entrance to one source.
#[derive(Debug)]
pub(super) struct Collector {
    document: String,
    asks: mpsc::Sender<Ask>,
}

impl Collector {
    /// Starts collecting for a source; ends when it is dropped and its last read is answered.
    pub(super) fn start(
        id: SourceId,
        document: SourceDocument,
        settings: ResolverSettings,
        gate: Arc<Gate>,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        let (asks, incoming) = mpsc::channel(settings.queue);
        let fingerprint = fingerprint(&document);
        let source = Arc::new(HttpSource::new(
            id,
            document,
            settings.clone(),
            gate,
            clock,
            rng,
            Arc::new(Mutex::new(Circuit::default())),
        ));
        tokio::spawn(collect(incoming, source, settings));
        Self {
            document: fingerprint,
            asks,
        }
    }

    /// Whether it works by this document.
    pub(super) fn is_of(&self, document: &SourceDocument) -> bool {
        self.document == fingerprint(document)
    }

    /// Asks for an object; none if too many reads are waiting.
    pub(super) fn ask(&self, read: Read) -> Option<oneshot::Receiver<Answer>> {
        let (reply, answer) = oneshot::channel();
        self.asks
            .try_send(Ask { read, reply })
            .ok()
            .map(|()| answer)
    }
}

fn fingerprint(document: &SourceDocument) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

async fn collect(
    mut incoming: mpsc::Receiver<Ask>,
    source: Arc<HttpSource>,
    settings: ResolverSettings,
) {
    let slots = Arc::new(Semaphore::new(settings.concurrency.max(1)));
    while let Some(first) = incoming.recv().await {
        // A free slot first: while the source is busy, more asks gather for the next batch.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let mut asks = vec![first];
        gather(
            &mut incoming,
            &mut asks,
            source.max_batch(),
            Duration::from_millis(settings.linger_ms),
        )
        .await;
        let mut slot = Some(slot);
        for group in by_type(asks) {
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
    incoming: &mut mpsc::Receiver<Ask>,
    asks: &mut Vec<Ask>,
    most: usize,
    linger: Duration,
) {
    let filling = async {
        while asks.len() < most {
            match incoming.recv().await {
                Some(ask) => asks.push(ask),
                None => return,
            }
        }
    };
    // Running out of time is the usual end: what gathered goes.
    let _ = timeout(linger, filling).await;
}

fn by_type(asks: Vec<Ask>) -> Vec<Vec<Ask>> {
    let mut groups: BTreeMap<String, Vec<Ask>> = BTreeMap::new();
    for ask in asks {
        groups
            .entry(ask.read.object.object_type.clone())
            .or_default()
            .push(ask);
    }
    groups.into_values().collect()
}

async fn answer(source: &HttpSource, group: Vec<Ask>) {
    let mut waiting: BTreeMap<ObjectKey, Vec<Ask>> = BTreeMap::new();
    for ask in group {
        waiting
            .entry(ask.read.object.clone())
            .or_default()
            .push(ask);
    }
    let objects: Vec<ObjectKey> = waiting.keys().cloned().collect();
    let traces: Vec<Option<String>> = waiting
        .values()
        .map(|asks| {
            shared_trace(asks.iter().map(|ask| ask.read.traceparent.as_deref())).map(str::to_owned)
        })
        .collect();
    let answers = source.read(&objects, &traces).await;
    for (asks, answer) in waiting.into_values().zip(answers) {
        for Ask { reply, .. } in asks {
            // Whoever asked may have gone; the others still want to know.
            let _ = reply.send(answer.clone());
        }
    }
}

/// Locks a circuit whose holder never panics.
pub(super) fn lock(circuit: &Mutex<Circuit>) -> std::sync::MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}
