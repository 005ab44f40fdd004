//! How long to wait after failures in a row: exponential, with a cap and jitter.

/// Which part of a wait is random, so that clients that failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Exactly the ceiling.
    None,
    /// Between nothing and the ceiling ("full jitter").
    Full,
    /// Between half of the ceiling and all of it ("equal jitter").
    Half,
    /// The ceiling and up to a fifth more.
    Fifth,
}

/// An exponential backoff. Without state: the caller counts its failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling after the first failure, in milliseconds. It doubles with each further failure.
    pub base_ms: u64,
    /// The highest ceiling, in milliseconds.
    pub max_ms: u64,
    pub jitter: Jitter,
}

impl Backoff {
    /// The ceiling of the wait after `failures` failures in a row. 0 counts as 1.
    pub fn ceiling_ms(self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(63);
        self.base_ms.saturating_mul(1 << doublings).min(self.max_ms)
    }

    /// The wait after `failures` failures in a row. `random` is uniform in 0..1.
    pub fn wait_ms(self, failures: u32, random: f64) -> u64 {
        let ceiling = self.ceiling_ms(failures);
        match self.jitter {
            Jitter::None => ceiling,
            Jitter::Full => part(ceiling, random),
            Jitter::Half => (ceiling / 2).saturating_add(part(ceiling / 2, random)),
            Jitter::Fifth => ceiling.saturating_add(part(ceiling / 5, random)),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "jitter need not be exact"
)]
fn part(ms: u64, random: f64) -> u64 {
    (ms as f64 * random.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(jitter: Jitter) -> Backoff {
        Backoff {
            base_ms: 100,
            max_ms: 1000,
            jitter,
        }
    }

    #[test]
    fn ceiling_doubles_up_to_the_cap() {
        let ceilings = [0, 1, 2, 4, 5, u32::MAX].map(|n| backoff(Jitter::Full).ceiling_ms(n));
        assert_eq!(ceilings, [100, 100, 200, 800, 1000, 1000]);
    }

    #[test]
    fn jitter_stays_in_its_range() {
        for (jitter, least, most) in [
            (Jitter::None, 200, 200),
            (Jitter::Full, 0, 200),
            (Jitter::Half, 100, 200),
            (Jitter::Fifth, 200, 240),
        ] {
            let waits = [0.0, 1.0].map(|random| backoff(jitter).wait_ms(2, random));
            assert_eq!(waits, [least, most], "{jitter:?}");
        }
    }
}
