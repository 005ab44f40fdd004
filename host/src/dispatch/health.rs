//! Circuits and parking: when a connection is left alone, and when it is looked at again.

use std::collections::HashMap;

use egression_core::domain::ids::ConnectionId;
use egression_core::time::Mono;

use super::settings::DispatchSettings;
use crate::delivery::Effect;

/// How a connection has been doing.
#[derive(Debug, Default)]
struct Record {
    unanswered: u32,
    trapped: u32,
    /// Checks that failed since it was closed.
    probes: u32,
    closed: bool,
}

/// What follows for a connection.
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
        let record = self.records.entry(connection).or_default();
        match effect {
            Effect::None => Step::Nothing,
            Effect::Healthy => {
                (record.unanswered, record.trapped) = (0, 0);
                Step::Nothing
            }
            Effect::Refused(problem) if !record.closed => {
                record.closed = true;
                Step::Park(
                    format!("{}: {}", problem.code, problem.message),
                    probe_at(&self.settings, record, now, draw),
                )
            }
            Effect::Unavailable(_) => {
                record.unanswered += 1;
                if record.closed || record.unanswered < self.settings.circuit_after {
                    return Step::Nothing;
                }
                record.closed = true;
                Step::OpenCircuit(probe_at(&self.settings, record, now, draw))
            }
            Effect::Trapped(_) => {
                record.trapped += 1;
                if record.closed || record.trapped < self.settings.traps_after {
                    return Step::Nothing;
                }
                record.closed = true;
                Step::OpenCircuit(probe_at(&self.settings, record, now, draw))
            }
            Effect::Refused(_) => Step::Nothing,
        }
    }

    /// It was parked before this start: when it is probed.
    pub(super) fn found_parked(&mut self, connection: ConnectionId, now: Mono, draw: f64) -> Mono {
        let record = self.records.entry(connection).or_default();
        record.closed = true;
        probe_at(&self.settings, record, now, draw)
    }

    /// A probe failed: when the next one is made.
    pub(super) fn probe_failed(&mut self, connection: ConnectionId, now: Mono, draw: f64) -> Mono {
        let record = self.records.entry(connection).or_default();
        record.probes += 1;
        probe_at(&self.settings, record, now, draw)
    }

    /// It works again, or a person says so.
    pub(super) fn reopened(&mut self, connection: ConnectionId) {
        self.records.remove(&connection);
    }

    /// The host itself closed it.
    pub(super) fn is_closed(&self, connection: ConnectionId) -> bool {
        self.records.get(&connection).is_some_and(|r| r.closed)
    }
}

/// From `probe_min_ms`, doubling to `probe_max_ms`, with up to a fifth of jitter.
fn probe_at(settings: &DispatchSettings, record: &Record, now: Mono, draw: f64) -> Mono {
    let wait = settings
        .probe_min_ms
        .saturating_mul(1 << record.probes.min(20))
        .min(settings.probe_max_ms);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a jitter need not be exact"
    )]
    let jitter = (wait as f64 * 0.2 * draw.clamp(0.0, 1.0)) as u64;
    now.plus_ms(wait + jitter)
}

#[cfg(test)]
mod tests {
    use egression_core::domain::problem::Problem;

    use super::*;

    #[test]
    fn a_circuit_opens_after_calls_without_an_answer_and_probes_slow_down() {
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
        assert_eq!(health.probe_failed(id, now, 0.0), now.plus_ms(20));
        assert_eq!(health.probe_failed(id, now, 0.0), now.plus_ms(25));
        health.reopened(id);
        assert!(!health.is_closed(id));
    }
}
