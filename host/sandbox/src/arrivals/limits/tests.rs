//! Limits judged on explicit stamps.

use super::*;

fn at_ms(ms: u64) -> Stamp {
    Stamp::from_us(ms * 1_000)
}

/// The waits, in milliseconds, for arrivals at these milliseconds.
fn waits_ms(meter: &mut Meter, arrivals_ms: &[u64]) -> Vec<Option<u64>> {
    arrivals_ms
        .iter()
        .map(|&ms| meter.arrive(at_ms(ms), 1).map(|us| us.div_ceil(1_000)))
        .collect()
}

/// The definition, taken literally: does an interval that ends with the last arrival hold more than
/// `rate × w + burst` arrivals?
fn breaks_bucket(arrivals_us: &[u64], rate: u64, per_us: u64, burst: u64) -> bool {
    let last = arrivals_us[arrivals_us.len() - 1];
    (0..arrivals_us.len()).any(|first| {
        let held = (arrivals_us.len() - first) as u128;
        let stretch_us = u128::from(last - arrivals_us[first]);
        held * u128::from(per_us)
            > u128::from(rate) * stretch_us + u128::from(burst) * u128::from(per_us)
    })
}

#[test]
fn bucket_admits_its_burst_then_its_rate() {
    let mut meter = Meter::new(Limit::TokenBucket {
        rate: 10,
        per_ms: 1_000,
        burst: 3,
    });
    assert_eq!(waits_ms(&mut meter, &[0, 0, 0, 100, 200, 300]), [None; 6]);
    assert_eq!(meter.exceeded(), 0);
}

#[test]
fn bucket_counts_refused_arrivals() {
    let mut meter = Meter::new(Limit::TokenBucket {
        rate: 10,
        per_ms: 1_000,
        burst: 1,
    });
    // The second is 1 in debt, so the next is due when that token and its own are available.
    assert_eq!(
        waits_ms(&mut meter, &[0, 0, 100, 300]),
        [None, Some(200), Some(200), None]
    );
    assert_eq!((meter.requests(), meter.exceeded()), (4, 2));
}

#[test]
fn bucket_refills_to_its_burst_only() {
    let mut meter = Meter::new(Limit::TokenBucket {
        rate: 10,
        per_ms: 1_000,
        burst: 2,
    });
    let waits = waits_ms(&mut meter, &[0, 0, 60_000, 60_000, 60_000]);
    assert_eq!(waits, [None, None, None, None, Some(200)]);
}

#[test]
fn bucket_agrees_with_its_definition() {
    let (rate, per_ms, burst) = (7, 300, 4);
    let mut meter = Meter::new(Limit::TokenBucket {
        rate,
        per_ms,
        burst,
    });
    let (mut arrivals, mut now_us, mut step) = (Vec::new(), 0_u64, 12_345_u64);
    for _ in 0..600 {
        step = step
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        now_us += (step >> 33) % 90_000;
        arrivals.push(now_us);
        let refused = meter.arrive(Stamp::from_us(now_us), 1).is_some();
        assert_eq!(
            refused,
            breaks_bucket(&arrivals, rate, per_ms * 1_000, burst),
            "{now_us}"
        );
    }
    assert!(meter.exceeded() > 0 && meter.exceeded() < 600);
}

#[test]
fn window_slides_and_excludes_its_end() {
    let mut meter = Meter::new(Limit::Window {
        max: 2,
        window_ms: 1_000,
    });
    let waits = waits_ms(&mut meter, &[0, 600, 999, 1_599, 1_999]);
    // 999 is the third within 1 000; one more fits once 600 has left too, and so on.
    assert_eq!(waits, [None, None, Some(601), Some(400), None]);
    assert_eq!(meter.exceeded(), 2);
}

#[test]
fn window_admits_the_next_when_the_first_leaves() {
    let mut meter = Meter::new(Limit::Window {
        max: 2,
        window_ms: 1_000,
    });
    assert_eq!(waits_ms(&mut meter, &[0, 0, 1_000, 1_000]), [None; 4]);
    assert_eq!(meter.arrive(Stamp::from_us(1_999_999), 1), Some(1));
}

#[test]
fn concurrency_counts_open_calls_only() {
    let mut meter = Meter::new(Limit::Concurrency { max: 2 });
    assert_eq!(meter.arrive(at_ms(0), 2), None);
    assert!(meter.arrive(at_ms(0), 3).is_some());
    assert_eq!(meter.exceeded(), 1);
}

#[test]
fn usage_is_reported_from_500_calls() {
    let mut meter = Meter::new(Limit::TokenBucket {
        rate: 100,
        per_ms: 1_000,
        burst: 1,
    });
    for call in 0..499 {
        meter.arrive(at_ms(call * 10), 1);
    }
    assert_eq!(meter.used(4_990_000), None);
    meter.arrive(at_ms(4_990), 1);
    assert_eq!(meter.used(5_000_000), Some(1.0));
    assert_eq!(meter.used(10_000_000), Some(0.5));
    assert_eq!(meter.used(0), None);
}
