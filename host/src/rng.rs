//! The only place that seeds randomness. Jitter comes from an [`Rng`], passed in
//! like the clock.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A source of jitter. Cheap to clone; clones draw from the same source. Never used for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    generator: Arc<Mutex<StdRng>>,
}

impl Rng {
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that seeds"
    )]
    pub fn system() -> Self {
        Self::seeded(rand::random())
    }

    /// The same draws for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            generator: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// Uniform in 0..1.
    #[must_use]
    pub fn jitter(&self) -> f64 {
        self.generator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random()
    }
}
