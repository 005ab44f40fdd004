//! Takes documents, manifests and pauses over into the scheduler.

use egression_core::scheduler::Availability;

use super::engine::Engine;
use super::probes::plan_probe;
use super::scheduler_rules::{availability_of, rules_of};

use egression_core::domain::ids::ConnectionId;

impl Engine {
    /// Takes over documents, manifests and pauses.
    pub(super) fn configure(&mut self) {
        let catalogue = self.parts.configuration.catalogue();
        let now = self.parts.clock.mono();
        let mut present = Vec::new();
        for connection in catalogue.connections() {
            let channel = &connection.channel.document;
            let Some(description) = self
                .parts
                .registry
                .description(&channel.connector, channel.version.as_deref())
            else {
                continue;
            };
            present.push(connection.id);
            let mut scheduler = self.scheduler.lock();
            scheduler.connect(rules_of(connection, &description));
            let wanted = availability_of(connection);
            let circuit_open = matches!(
                scheduler.availability(connection.id),
                Some(Availability::CircuitOpen(_))
            );
            match &wanted {
                // A circuit or a parking that the host decided on stays until a probe succeeds,
                // also while it is being written.
                Availability::Open if circuit_open || self.keeping.contains_key(&connection.id) => {
                }
                Availability::Open => {
                    // A change of documents keeps the failure counts of a healthy connection.
                    if self.health.is_closed(connection.id) {
                        self.health.reopened(connection.id);
                    }
                    scheduler.set_availability(connection.id, wanted);
                }
                Availability::Parked(_) if !self.health.is_closed(connection.id) => {
                    let at = self
                        .health
                        .found_parked(connection.id, now, self.parts.rng.jitter());
                    plan_probe(&mut self.probes, at, connection.id);
                    scheduler.set_availability(connection.id, wanted);
                }
                _ => scheduler.set_availability(connection.id, wanted),
            }
        }
        let mut scheduler = self.scheduler.lock();
        let known: Vec<_> = scheduler.connections().collect();
        for gone in known.into_iter().filter(|id| !present.contains(id)) {
            scheduler.disconnect(gone);
        }
        drop(scheduler);
        self.parts.deliverer.forget_removed();
    }

    /// A connection's state was written: from now on the documents show it.
    pub(super) fn kept(&mut self, connection: ConnectionId) {
        match self.keeping.get_mut(&connection) {
            Some(writes) if *writes > 1 => *writes -= 1,
            _ => {
                self.keeping.remove(&connection);
                self.configure();
            }
        }
    }
}
