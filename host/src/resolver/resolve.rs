//! The entrance: which source reads which objects.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::ids::SourceId;
use egression_core::domain::problem::Problem;
use parking_lot::Mutex;

use super::collector::Collector;
use super::read::{Read, ReadResult, ResolveError};
use super::resolver_settings::ResolverSettings;
use crate::clock::Clock;
use crate::documents::audience::Audience;
use crate::documents::catalogue::Catalogue;
use crate::documents::model::{SourceDocument, SourceKind};
use crate::gate::Gate;
use crate::rng::Rng;

#[derive(Debug)]
pub struct Resolver {
    settings: ResolverSettings,
    clock: Clock,
    rng: Rng,
    gate: Arc<Gate>,
    sources: Mutex<HashMap<SourceId, Readable>>,
}

/// A source that the host reads.
#[derive(Debug)]
struct Readable {
    audience: Audience,
    collector: Collector,
}

impl Resolver {
    /// A resolver without sources; [`Resolver::configure`] adds them.
    pub fn new(settings: ResolverSettings, gate: Arc<Gate>, clock: Clock, rng: Rng) -> Self {
        Self {
            settings,
            clock,
            rng,
            gate,
            sources: Mutex::default(),
        }
    }

    /// Takes the sources of a new configuration. Reads that have begun finish by the old one.
    pub fn configure(&self, catalogue: &Catalogue) {
        let present: Vec<(SourceId, &SourceDocument)> = catalogue
            .sources()
            .map(|source| (source.id, &source.document))
            .collect();
        let mut sources = self.sources.lock();
        sources.retain(|id, _| present.iter().any(|(source, _)| source == id));
        for (id, document) in present
            .into_iter()
            .filter(|(_, d)| d.kind == SourceKind::Http)
        {
            if !sources
                .get(&id)
                .is_some_and(|source| source.collector.is_of(document))
            {
                let collector = Collector::start(
                    id,
                    document.clone(),
                    self.settings.clone(),
                    Arc::clone(&self.gate),
                    self.clock.clone(),
                    self.rng.clone(),
                );
                let audience = document.subscriptions.clone();
                let readable = Readable {
                    audience,
                    collector,
                };
                sources.insert(id, readable);
            }
        }
    }

    /// The bodies of these objects as they are now, in their order. `subscription`: whose jobs need
    /// them. A source that no longer lists it is not read.
    pub async fn resolve(
        &self,
        source: SourceId,
        subscription: &str,
        reads: Vec<Read>,
    ) -> Vec<ReadResult> {
        let waiting: Vec<_> = {
            let sources = self.sources.lock();
            let readable = sources.get(&source);
            if readable.is_some_and(|r| !r.audience.contains(subscription)) {
                return reads.iter().map(|_| Err(unlisted())).collect();
            }
            reads
                .into_iter()
                .map(|read| readable.and_then(|r| r.collector.enqueue(read)))
                .collect()
        };
        let mut bodies = Vec::with_capacity(waiting.len());
        for answer in waiting {
            let body = match answer {
                Some(answer) => answer.await.ok(),
                None => None,
            };
            bodies.push(body.unwrap_or_else(|| Err(self.busy())));
        }
        bodies
    }

    fn busy(&self) -> ResolveError {
        let wait_ms = i64::try_from(self.settings.retry_base_ms).unwrap_or(1000);
        let message = "the source is not configured for reads, or too many reads wait for it \
                       (setting `resolver.queue`)";
        let problem = Problem::new("source.busy", message);
        ResolveError::unavailable(self.clock.wall().plus_ms(wait_ms), problem)
    }
}

fn unlisted() -> ResolveError {
    let message = "the source no longer lists the job's subscription";
    ResolveError::rejected(Problem::new("source.unlisted", message))
}
