//! The scenarios of the two shops: their limits and faults.
//!
//! [`crate::configuration`] gives the host the same limits.

use egression_sandbox::{CoolDown, Credentials, Faults, Latency, Limit, Scenario};

/// Items in one call to shop A.
pub(crate) const BATCH_ITEMS: usize = 50;
/// The latency of a slow call. The host's timeouts are longer.
const LATENCY_MS: u64 = 2_000;
/// The length of the one cool-down of each shop.
const COOL_DOWN_MS: u64 = 3_000;

/// Shop A: batches, few calls per second.
pub(crate) fn shop_a(objects: usize, seed: u64) -> Scenario {
    let limits = vec![
        Limit::TokenBucket {
            rate: 20,
            per_ms: 1_000,
            burst: 5,
        },
        Limit::Window {
            max: 250,
            window_ms: 15_000,
        },
    ];
    let calls = objects.div_ceil(BATCH_ITEMS);
    let faults = Faults {
        batch_refusal: 1.0 / 200.0,
        ..faults(objects, calls)
    };
    Scenario {
        account: "shop-a".to_owned(),
        max_batch: BATCH_ITEMS,
        ..scenario("a", limits, faults, seed)
    }
}

/// Shop B: single objects, many calls per second.
pub(crate) fn shop_b(objects: usize, seed: u64) -> Scenario {
    let limits = vec![
        Limit::TokenBucket {
            rate: 300,
            per_ms: 1_000,
            burst: 30,
        },
        Limit::Concurrency { max: 32 },
    ];
    Scenario {
        account: "shop-b".to_owned(),
        ..scenario("b", limits, faults(objects, objects), seed.wrapping_add(1))
    }
}

fn scenario(name: &str, limits: Vec<Limit>, faults: Faults, seed: u64) -> Scenario {
    let credentials = Credentials {
        client_id: format!("client-{name}"),
        client_secret: format!("client-secret-{name}-{seed:x}"),
        api_key: format!("api-key-{name}-{seed:x}"),
    };
    // Token calls count, which is the strictest reading of a limit.
    Scenario {
        credentials,
        limits,
        faults,
        seed,
        count_tokens: true,
        ..Scenario::default()
    }
}

/// `calls` is the number of calls without faults.
fn faults(objects: usize, calls: usize) -> Faults {
    let (objects, calls) = (objects as u64, calls as u64);
    Faults {
        error_5xx: 0.01,
        latency: Latency {
            share: 0.01,
            ms: LATENCY_MS,
        },
        drop_after_write: 0.003,
        batch_refusal: 0.0,
        token_revocations: vec![(objects / 4).max(1), (objects * 3 / 5).max(2)],
        cool_downs: vec![CoolDown {
            after_calls: (calls * 2 / 5).max(1),
            ms: COOL_DOWN_MS,
        }],
    }
}
