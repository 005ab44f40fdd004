//! What a budget tells the store.

use super::*;

#[test]
fn repeated_observation_is_stored_once() {
    let mut budget = Budget::new(Guard {
        rate_share: 0.0,
        edge_ms: 0,
        reach_ms: 0,
    });
    let (key, now) = (LimitKey::new("own"), Mono(1_000_000));
    let mut closes = |reset_ms| budget.observe(&key, None, Some(0), Some(reset_ms), 3_600_000, now);
    assert_eq!(closes(600_000), Some(now.plus_ms(600_000)));
    assert_eq!((closes(600_010), closes(1000)), (None, None));
    assert_eq!(closes(602_000), Some(now.plus_ms(602_000)));
}
