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
    collectors: Mutex<HashMap<SourceId, Collector>>,
}

impl Resolver {
    /// A resolver without sources; [`Resolver::configure`] adds them.
    pub fn new(settings: ResolverSettings, gate: Arc<Gate>, clock: Clock, rng: Rng) -> Self {
        Self {
            settings,
            clock,
            rng,
            gate,
            collectors: Mutex::default(),
        }
    }

    /// Takes the sources of a new configuration. Reads that have begun finish by the old one.
    pub fn configure(&self, catalogue: &Catalogue) {
        let sources: Vec<(SourceId, &SourceDocument)> = catalogue
            .sources()
            .map(|source| (source.id, &source.document))
            .collect();
        let mut collectors = self.collectors.lock();
        collectors.retain(|id, _| sources.iter().any(|(source, _)| source == id));
        for (id, document) in sources
            .into_iter()
            .filter(|(_, d)| d.kind == SourceKind::Http)
        {
            if !collectors
                .get(&id)
                .is_some_and(|collector| collector.is_of(document))
            {
                let collector = Collector::start(
                    id,
                    document.clone(),
                    self.settings.clone(),
                    Arc::clone(&self.gate),
                    self.clock.clone(),
                    self.rng.clone(),
                );
                collectors.insert(id, collector);
            }
        }
    }

    /// The bodies of these objects as they are now, in their order.
    pub async fn resolve(&self, source: SourceId, reads: Vec<Read>) -> Vec<ReadResult> {
        let waiting: Vec<_> = {
            let collectors = self.collectors.lock();
            let collector = collectors.get(&source);
            reads
                .into_iter()
                .map(|read| collector.and_then(|c| c.enqueue(read)))
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
