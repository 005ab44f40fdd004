//! What a destination reports about its limits, and how far the host believes it.

use crate::time::Mono;

/// The longest reset that is believed, in milliseconds. A longer one is a connector that mistakes
/// an instant for a duration.
const OBSERVED_RESET_MAX_MS: u64 = 3_600_000;

/// An answer can be so old when its observation comes in, in microseconds: the default timeout of a
/// connector's own request.
pub(super) const STALE_US: u64 = 15_000_000;

/// Until when an observation closes a limit that has no model of the report: nothing remains, and
/// the reset is known.
pub(super) fn exhausted_until(
    remaining: Option<u64>,
    reset_ms: Option<u64>,
    now: Mono,
) -> Option<Mono> {
    let reset_ms = reset_ms.filter(|_| remaining == Some(0))?;
    Some(now.plus_ms(reset_ms.min(OBSERVED_RESET_MAX_MS)))
}
