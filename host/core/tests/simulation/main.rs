//! The scheduler against a model of the store and of a destination, in virtual time.
//!
//! Every run follows from its seed. `EGRESSION_SEED=17 cargo nextest run -p egression-core random`
//! repeats one.

#![allow(clippy::unwrap_used)]

mod calls;
mod checks;
mod destination;
mod fairness;
mod plan;
mod rng;
mod store;
mod world;

const RUNS: u64 = 150;

fn runs(from: u64) {
    if let Some(seed) = std::env::var("EGRESSION_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        plan::random(seed).run();
        return;
    }
    for seed in from..from + RUNS {
        plan::random(seed).run();
    }
}

#[test]
fn random_runs_keep_every_promise_and_end() {
    runs(0);
}

#[test]
fn random_runs_with_other_seeds_keep_every_promise_and_end() {
    runs(1_000_000);
}
