//! What a destination reports about its limits, and how far the host believes it.

use crate::time::Mono;

/// An answer can be so old when its observation comes in, in microseconds: the default timeout of a
/// connector's own request.
pub(super) const STALE_US: u64 = 15_000_000;

/// Until when an observation closes a limit that has no model of the report: nothing remains, and
/// the reset is known. It closes the limit for at most `most_ms`.
pub(super) fn exhausted_until(
    remaining: Option<u64>,
    reset_ms: Option<u64>,
    most_ms: u64,
    now: Mono,
) -> Option<Mono> {
    let reset_ms = reset_ms.filter(|_| remaining == Some(0))?;
    Some(now.plus_ms(reset_ms.min(most_ms)))
}
