//! The health of connections: when a circuit opens, when a connection is parked, and when it is
//! probed.

use std::collections::HashMap;

use egression_core::domain::backoff::{Backoff, Jitter};
use egression_core::domain::circuit_breaker::CircuitBreaker;
use egression_core::domain::ids::ConnectionId;
use egression_core::time::Mono;

use super::settings::DispatchSettings;
use crate::delivery::Effect;

/// How a connection does.
#[derive(Debug)]
struct Record {
    /// Calls in a row without an answer.
    unanswered: u32,
    /// Calls in a row whose guest trapped.
    trapped: u32,
    /// Open while the connection is parked or its circuit is open.
    breaker: CircuitBreaker,
}

impl Record {
    fn new(settings: &DispatchSettings) -> Self {
        let probes = Backoff {
            base_ms: settings.probe_min_ms,
            max_ms: settings.probe_max_ms,
            jitter: Jitter::Fifth,
        };
        Self {
            unanswered: 0,
            trapped: 0,
            breaker: CircuitBreaker::new(1, probes),
        }
    }
}

/// What the dispatcher does about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Its circuit opens until it is probed at this instant.
    OpenCircuit(Mono),
    /// It is parked with this reason, and probed at this instant.
    Park(String, Mono),
}

/// The health of all connections.
#[derive(Debug)]
pub(super) struct Health {
    settings: DispatchSettings,
    records: HashMap<ConnectionId, Record>,
}

impl Health {
    pub(super) fn new(settings: DispatchSettings) -> Self {
        Self {
            settings,
            records: HashMap::new(),
        }
    }

    /// A call ended with this effect. `draw` is uniform in 0..1.
    pub(super) fn after_call(
        &mut self,
        connection: ConnectionId,
        effect: &Effect,
        now: Mono,
        draw: f64,
    ) -> Step {
        let (circuit_after, traps_after) = (self.settings.circuit_after, self.settings.traps_after);
        let record = self.record(connection);
        match effect {
            Effect::None => Step::Nothing,
            Effect::Healthy => {
                (record.unanswered, record.trapped) = (0, 0);
                Step::Nothing
            }
            Effect::Refused(problem) => {
                if record.breaker.is_open() {
                    return Step::Nothing;
                }
                Step::Park(
                    format!("{}: {}", problem.code, problem.message),
                    record.breaker.failed(now, None, draw),
                )
            }
            Effect::Unavailable(_) => {
                record.unanswered += 1;
                if record.breaker.is_open() || record.unanswered < circuit_after {
                    return Step::Nothing;
                }
                Step::OpenCircuit(record.breaker.failed(now, None, draw))
            }
            Effect::Trapped(_) => {
                record.trapped += 1;
                if record.breaker.is_open() || record.trapped < traps_after {
                    return Step::Nothing;
                }
                Step::OpenCircuit(record.breaker.failed(now, None, draw))
            }
        }
    }

    /// It was parked before this start. Returns when to probe it.
    pub(super) fn found_parked(&mut self, connection: ConnectionId, now: Mono, draw: f64) -> Mono {
        self.record(connection).breaker.failed(now, None, draw)
    }

    /// A probe failed. Returns when to make the next one; `None`: the connection was reopened.
    pub(super) fn probe_failed(
        &mut self,
        connection: ConnectionId,
        now: Mono,
        draw: f64,
    ) -> Option<Mono> {
        let record = self.records.get_mut(&connection)?;
        record
            .breaker
            .is_open()
            .then(|| record.breaker.failed(now, None, draw))
    }

    /// It works again, or a person paused or resumed it.
    pub(super) fn reopened(&mut self, connection: ConnectionId) {
        self.records.remove(&connection);
    }

    /// The host parked it or opened its circuit.
    pub(super) fn is_closed(&self, connection: ConnectionId) -> bool {
        self.records
            .get(&connection)
            .is_some_and(|record| record.breaker.is_open())
    }

    fn record(&mut self, connection: ConnectionId) -> &mut Record {
        self.records
            .entry(connection)
            .or_insert_with(|| Record::new(&self.settings))
    }
}

#[cfg(test)]
mod tests {
    use egression_core::domain::problem::Problem;

    use super::*;

    #[test]
    fn circuit_opens_after_unanswered_calls_and_probes_slow_down() {
        let settings = DispatchSettings {
            circuit_after: 2,
            probe_min_ms: 10,
            probe_max_ms: 25,
            ..DispatchSettings::default()
        };
        let mut health = Health::new(settings);
        let (id, now) = (ConnectionId(1), Mono(0));
        let down = Effect::Unavailable(Problem::new("down", "down"));
        assert_eq!(health.after_call(id, &down, now, 0.0), Step::Nothing);
        assert_eq!(
            health.after_call(id, &Effect::Healthy, now, 0.0),
            Step::Nothing
        );
        assert_eq!(health.after_call(id, &down, now, 0.0), Step::Nothing);
        assert_eq!(
            health.after_call(id, &down, now, 0.0),
            Step::OpenCircuit(now.plus_ms(10))
        );
        assert_eq!(
            health.after_call(id, &down, now, 0.0),
            Step::Nothing,
            "it is open already"
        );
        assert_eq!(health.probe_failed(id, now, 0.0), Some(now.plus_ms(20)));
        assert_eq!(health.probe_failed(id, now, 0.0), Some(now.plus_ms(25)));
        health.reopened(id);
        assert!(!health.is_closed(id));
    }
}
