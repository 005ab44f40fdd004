//! A source's circuit: after failures in a row it is left alone for a while that doubles, then one
//! read tries again.

use egression_core::time::Mono;

use super::settings::ResolverSettings;

/// The longest that a source is left alone because it asked for it, in milliseconds: a day. A
/// destination's quota may be for a month; a source that names a later time has most likely the
/// wrong one, and holds every channel that reads from it.
const LONGEST_AWAY_MS: u64 = 86_400_000;

/// Whether a source is asked.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    open_until: Option<Mono>,
    /// When the request that tries has its answer at the latest.
    probing: Option<Mono>,
}

impl Circuit {
    /// Whether a request that ends by `deadline` may go now; else until when not. While the circuit
    /// is open, one request at a time tries, and until it has its answer there is nothing to ask
    /// for.
    pub(super) fn try_pass(&mut self, now: Mono, deadline: Mono) -> Result<(), Mono> {
        match (self.open_until, self.probing) {
            (None, _) => Ok(()),
            (Some(until), _) | (_, Some(until)) if now < until => Err(until),
            _ => {
                self.probing = Some(deadline);
                Ok(())
            }
        }
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The request that tried was not sent: the next one tries.
    pub(super) fn not_tried(&mut self) {
        self.probing = None;
    }

    /// The source failed; until when its jobs wait. `draw` is uniform in 0..1.
    pub(super) fn failed(
        &mut self,
        now: Mono,
        retry_after_ms: Option<u64>,
        draw: f64,
        settings: &ResolverSettings,
    ) -> Mono {
        self.failures = self.failures.saturating_add(1);
        self.probing = None;
        let doublings = self.failures.saturating_sub(1).min(20);
        let ceiling = settings
            .retry_base_ms
            .saturating_mul(1 << doublings)
            .min(settings.retry_max_ms);
        // Half fixed, half jitter: a source that is down is not asked at once by everybody, nor
        // right away.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a jitter need not be exact"
        )]
        let wait_ms = ceiling / 2 + ((ceiling as f64 / 2.0) * draw.clamp(0.0, 1.0)) as u64;
        let until = now.plus_ms(wait_ms.max(retry_after_ms.unwrap_or(0).min(LONGEST_AWAY_MS)));
        if self.failures >= settings.circuit_after || retry_after_ms.is_some() {
            self.open_until = Some(until);
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circuit_opens_after_failures_and_lets_one_try() {
        let settings = ResolverSettings {
            circuit_after: 2,
            retry_base_ms: 100,
            ..ResolverSettings::default()
        };
        let mut circuit = Circuit::default();
        let now = Mono(0);
        circuit.failed(now, None, 1.0, &settings);
        assert_eq!(circuit.try_pass(now, now.plus_ms(10_000)), Ok(()));
        let until = circuit.failed(now, None, 1.0, &settings);
        assert_eq!(until, now.plus_ms(200));
        let deadline = until.plus_ms(10_000);
        assert_eq!(circuit.try_pass(now, deadline), Err(until));
        assert_eq!(circuit.try_pass(until, deadline), Ok(()));
        assert_eq!(
            circuit.try_pass(until, deadline.plus_ms(5)),
            Err(deadline),
            "only one tries, and the others wait for its answer"
        );
        circuit.not_tried();
        assert_eq!(
            circuit.try_pass(until, deadline),
            Ok(()),
            "the next one tries"
        );
        circuit.succeeded();
        assert_eq!(circuit.try_pass(until, deadline), Ok(()));
    }

    #[test]
    fn a_source_is_not_left_alone_for_longer_than_a_day() {
        let until =
            Circuit::default().failed(Mono(0), Some(u64::MAX), 0.0, &ResolverSettings::default());
        assert_eq!(until, Mono(0).plus_ms(24 * 3_600_000));
    }
}
