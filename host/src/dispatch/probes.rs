//! Probes: when a connection that is parked, or whose circuit is open, is checked again, and what
//! follows from the check. [`Health`](super::health::Health) decides when to close it.

use std::collections::BTreeSet;
use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::scheduler::Availability;
use egression_core::time::Mono;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::engine::Engine;
use super::health::Step;
use super::message::Message;
use super::scheduler_rules::availability_of;
use crate::delivery::{Effect, Probe};
use crate::documents::catalogue::ConnectionState;
use crate::telemetry::spans;

impl Engine {
    pub(super) fn take_step(&mut self, connection: ConnectionId, step: Step, effect: &Effect) {
        if step != Step::Nothing
            && matches!(
                self.scheduler.lock().availability(connection),
                Some(Availability::Paused)
            )
        {
            // A person's pause has precedence. After it, the next call shows how the connection
            // does.
            self.health.reopened(connection);
            return;
        }
        match step {
            Step::Nothing => {}
            Step::OpenCircuit(until) => {
                tracing::warn!(
                    connection = self.label(connection),
                    ?effect,
                    "circuit opened"
                );
                plan_probe(&mut self.probes, until, connection);
                self.scheduler
                    .lock()
                    .set_availability(connection, Availability::CircuitOpen(until));
            }
            Step::Park(reason, probe_at) => {
                tracing::warn!(
                    connection = self.label(connection),
                    reason,
                    "connection parked"
                );
                plan_probe(&mut self.probes, probe_at, connection);
                self.scheduler
                    .lock()
                    .set_availability(connection, Availability::Parked(reason.clone()));
                self.keep_state(connection, ConnectionState::Parked { reason });
            }
        }
    }

    pub(super) fn keep_state(&mut self, connection: ConnectionId, state: ConnectionState) {
        *self.keeping.entry(connection).or_default() += 1;
        let (configuration, messages) =
            (Arc::clone(&self.parts.configuration), self.messages.clone());
        let label = self.label(connection);
        tokio::spawn(async move {
            if let Err(error) = configuration
                .keep_connection_state(connection, &state, None)
                .await
            {
                tracing::warn!(%error, connection = label, "cannot store the connection's state");
            }
            // The dispatcher is gone only when the host stops.
            let _ = messages.send(Message::Kept(connection)).await;
        });
    }

    pub(super) fn start_probes(&mut self, now: Mono) {
        while let Some((at, connection)) = self.probes.first().copied().filter(|(at, _)| *at <= now)
        {
            self.probes.remove(&(at, connection));
            if !self.health.is_closed(connection) {
                continue;
            }
            self.probe(connection, None);
        }
    }

    /// Checks a connection, and answers the person who asked for it.
    pub(super) fn probe(
        &self,
        connection: ConnectionId,
        asked: Option<oneshot::Sender<Option<Probe>>>,
    ) {
        let (deliverer, messages) = (Arc::clone(&self.parts.deliverer), self.messages.clone());
        let span = spans::check(&self.label(connection));
        tokio::spawn(async move {
            let by_person = asked.is_some();
            let probe = deliverer
                .check(connection, by_person)
                .instrument(span)
                .await;
            // A failed check that a person asked for changes nothing: neither the next probe nor
            // the connection's availability.
            if asked.is_none() || matches!(probe, Some(Probe::Works(_))) {
                // The dispatcher is gone only when the host stops.
                let _ = messages
                    .send(Message::Probed(connection, probe.clone()))
                    .await;
            }
            if let Some(asked) = asked {
                // The caller may have stopped waiting.
                let _ = asked.send(probe);
            }
        });
    }

    pub(super) async fn probed(
        &mut self,
        connection: ConnectionId,
        probe: Option<Probe>,
        now: Mono,
    ) {
        match probe {
            // The connection was missing during the check: it is removed, or about to be added.
            None if self
                .parts
                .configuration
                .catalogue()
                .connection_by_id(connection)
                .is_none() =>
            {
                self.health.reopened(connection)
            }
            None => {
                self.probe_again(connection, now);
            }
            Some(Probe::Works(findings)) => {
                tracing::info!(
                    connection = self.label(connection),
                    account = findings.account,
                    "connection works again"
                );
                self.health.reopened(connection);
                let catalogue = self.parts.configuration.catalogue();
                let entry = catalogue.connection_by_id(connection);
                // A person's pause has precedence over the probe.
                let next = entry
                    .map(|entry| availability_of(entry))
                    .filter(|availability| *availability == Availability::Paused)
                    .unwrap_or(Availability::Open);
                let was_parked = matches!(
                    self.scheduler.lock().availability(connection),
                    Some(Availability::Parked(_))
                );
                self.scheduler.lock().set_availability(connection, next);
                if was_parked
                    || entry
                        .is_some_and(|entry| matches!(entry.state, ConnectionState::Parked { .. }))
                {
                    self.keep_state(connection, ConnectionState::Active);
                }
            }
            Some(Probe::Fails(problem) | Probe::Refused(problem)) => {
                tracing::warn!(
                    connection = self.label(connection),
                    reason = problem.message,
                    "connection probe failed"
                );
                let Some(at) = self.probe_again(connection, now) else {
                    return;
                };
                let mut scheduler = self.scheduler.lock();
                if matches!(
                    scheduler.availability(connection),
                    Some(Availability::CircuitOpen(_))
                ) {
                    scheduler.set_availability(connection, Availability::CircuitOpen(at));
                }
            }
        }
    }

    /// Plans the next probe of a connection after one that failed, unless it was reopened.
    pub(super) fn probe_again(&mut self, connection: ConnectionId, now: Mono) -> Option<Mono> {
        let random = self.parts.rng.jitter();
        let at = self.health.probe_failed(connection, now, random)?;
        plan_probe(&mut self.probes, at, connection);
        Some(at)
    }
}

/// Plans the next probe of a connection, instead of an earlier plan.
pub(super) fn plan_probe(
    probes: &mut BTreeSet<(Mono, ConnectionId)>,
    at: Mono,
    connection: ConnectionId,
) {
    probes.retain(|(_, planned)| *planned != connection);
    probes.insert((at, connection));
}
