//! The only place that seeds randomness. All other code receives an [`Rng`].

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A source of jitter, never used for secrets. Clones share one source.
#[derive(Clone, Debug)]
pub struct Rng {
    generator: Arc<Mutex<StdRng>>,
}

impl Rng {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that seeds"
    )]
    pub fn system() -> Self {
        Self::seeded(rand::random())
    }

    /// The same seed gives the same sequence.
    pub fn seeded(seed: u64) -> Self {
        Self {
            generator: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// Uniform in 0..1.
    pub fn jitter(&self) -> f64 {
        self.generator.lock().random()
    }
}
