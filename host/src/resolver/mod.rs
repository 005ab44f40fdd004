//! What is sent: bodies, read at send time through a source's Metadata API, in batches shared by
//! all channels.
//!
//! A body that came with the request never passes here. A source that does not answer, or not as a
//! source does, makes jobs wait; an object that is not there, too large or of another shape makes
//! its job `rejected`; nothing ever turns into an empty body.

mod answer;
mod circuit;
mod collector;
mod http_source;
pub mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use egression_core::domain::ids::SourceId;
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;
use tokio::sync::oneshot;

pub use answer::Resolved;
use collector::Collector;
use settings::ResolverSettings;

use crate::clock::Clock;
use crate::documents::catalogue::Catalogue;
use crate::documents::model::{SourceDocument, SourceKind};
use crate::gate::Gate;
use crate::rng::Rng;

/// One object to be read, and for whom.
#[derive(Clone, Debug)]
pub struct Read {
    pub object: ObjectKey,
    /// The job's W3C Trace Context.
    pub traceparent: Option<String>,
}

/// The trace that all share. A request for several traces belongs to none of them: it would say of
/// each that the others' work is its own.
pub fn shared_trace<'a>(mut traces: impl Iterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let first = traces.next()??;
    traces.all(|trace| trace == Some(first)).then_some(first)
}

/// Why there is no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The source, or what it says about the object, makes the job `rejected`.
    Rejected(Box<Problem>),
    /// The source is down, slow, refused or at its own limit: the job waits until then.
    Unavailable { until: Wall, problem: Box<Problem> },
}

impl ResolveError {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    fn rejected(problem: Problem) -> Self {
        Self::Rejected(Box::new(problem))
    }

    fn unavailable(until: Wall, problem: Problem) -> Self {
        Self::Unavailable {
            until,
            problem: Box::new(problem),
        }
    }
}

#[derive(Debug)]
pub struct Resolver {
    settings: ResolverSettings,
    clock: Clock,
    rng: Rng,
    gate: Arc<Gate>,
    collectors: Mutex<HashMap<SourceId, Collector>>,
}

impl Resolver {
    /// A resolver without sources; [`Resolver::configure`] gives it some.
    #[must_use]
    pub fn new(settings: ResolverSettings, gate: Arc<Gate>, clock: Clock, rng: Rng) -> Self {
        Self {
            settings,
            clock,
            rng,
            gate,
            collectors: Mutex::default(),
        }
    }

    /// Takes the sources of a new configuration. Reads under way finish by the old one.
    pub fn configure(&self, catalogue: &Catalogue) {
        let sources: Vec<(SourceId, SourceDocument)> = catalogue
            .sources()
            .map(|s| (s.id, s.document.clone()))
            .collect();
        let mut collectors = self
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        collectors.retain(|id, _| sources.iter().any(|(s, _)| s == id));
        for (id, document) in sources
            .into_iter()
            .filter(|(_, d)| d.kind == SourceKind::Http)
        {
            if !collectors.get(&id).is_some_and(|c| c.is_of(&document)) {
                collectors.insert(
                    id,
                    Collector::start(
                        id,
                        document,
                        self.settings.clone(),
                        Arc::clone(&self.gate),
                        self.clock.clone(),
                        self.rng.clone(),
                    ),
                );
            }
        }
    }

    /// The bodies of these objects as they are now, in their order.
    pub async fn resolve(
        &self,
        source: SourceId,
        reads: Vec<Read>,
    ) -> Vec<Result<Resolved, ResolveError>> {
        let waiting: Vec<Option<oneshot::Receiver<Result<Resolved, ResolveError>>>> = {
            let collectors = self
                .collectors
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let collector = collectors.get(&source);
            reads
                .into_iter()
                .map(|read| collector.and_then(|c| c.ask(read)))
                .collect()
        };
        let mut bodies = Vec::with_capacity(waiting.len());
        for answer in waiting {
            let body = match answer {
                Some(answer) => answer.await.ok(),
                None => None,
            };
            bodies.push(body.unwrap_or_else(|| Err(self.not_there())));
        }
        bodies
    }

    fn not_there(&self) -> ResolveError {
        let until = self
            .clock
            .wall()
            .plus_ms(i64::try_from(self.settings.retry_base_ms).unwrap_or(1000));
        let message = "the source is not configured for reads, or too many reads are waiting for it (bound `resolver.queue`)";
        ResolveError::unavailable(until, Problem::new("source.busy", message))
    }
}

#[cfg(test)]
mod tests {
    use super::shared_trace;

    #[test]
    fn a_request_for_several_traces_belongs_to_none() {
        assert_eq!(shared_trace([Some("a"), Some("a")].into_iter()), Some("a"));
        assert_eq!(shared_trace([Some("a"), Some("b")].into_iter()), None);
        assert_eq!(shared_trace([Some("a"), None].into_iter()), None);
        assert_eq!(shared_trace([None, Some("a")].into_iter()), None);
        assert_eq!(shared_trace(std::iter::empty()), None);
    }
}
