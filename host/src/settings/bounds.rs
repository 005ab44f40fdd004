//! Which numbers of the `[server]` table make sense.
//!
//! A bound of nothing would stop the host, or let it start and never do anything, so the least of
//! each is what it can work with.

use super::server::ServerSettings;
use crate::documents::validate::{Issue, range};
use crate::store::FIRST_KEPT;

/// The largest number of what costs memory or threads for each.
const MANY: u64 = 1 << 20;
/// The most headers of a request that the HTTP engine is sure to hold; above 24,576 it breaks down.
const MOST_HEADERS: u64 = 16_384;
/// The longest time that is believed, in milliseconds: a year.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// The longest that a request may be on its way, in milliseconds: an hour.
const MOST_GUARD_MS: u64 = 60 * 60 * 1000;

/// All numbers that are out of their bounds, with pointers from `/server` on.
pub(super) fn issues(server: &ServerSettings) -> Vec<Issue> {
    let mut issues: Vec<Issue> = server
        .api
        .issues()
        .into_iter()
        .map(|issue| issue.under("/server/api"))
        .collect();
    issues.extend(
        numbers(server)
            .into_iter()
            .filter_map(|(pointer, value, least, most)| range(pointer, value, least, most, "")),
    );
    let share = server.gate.rate_guard_share;
    if !(0.0..=0.9).contains(&share) {
        let detail = format!("must be 0 to 0.9, not {share}");
        issues.push(Issue::new(
            "/server/gate/rate_guard_share",
            "value.out_of_range",
            detail,
        ));
    }
    issues
}

fn numbers(server: &ServerSettings) -> Vec<(&'static str, u64, u64, u64)> {
    let ServerSettings {
        store,
        dispatch,
        resolver,
        gate,
        runtime,
        ..
    } = server;
    let of = |value: usize| value as u64;
    vec![
        ("/server/store/write_queue", of(store.write_queue), 1, MANY),
        ("/server/store/group_rows", of(store.group_rows), 1, MANY),
        (
            "/server/store/busy_timeout_ms",
            store.busy_timeout_ms,
            1,
            YEAR_MS,
        ),
        ("/server/store/readers", store.readers.into(), 1, 1024),
        (
            "/server/store/retention_ms",
            u64::try_from(store.retention_ms).unwrap_or(u64::MAX),
            0,
            100 * YEAR_MS,
        ),
        (
            "/server/store/removal_interval_ms",
            store.removal_interval_ms,
            1,
            YEAR_MS,
        ),
        (
            "/server/store/events_per_job",
            store.events_per_job.into(),
            2 * u64::from(FIRST_KEPT),
            MANY,
        ),
        ("/server/dispatch/window", of(dispatch.window), 1, MANY),
        ("/server/dispatch/page", of(dispatch.page), 1, MANY),
        (
            "/server/dispatch/probe_min_ms",
            dispatch.probe_min_ms,
            1,
            dispatch.probe_max_ms,
        ),
        (
            "/server/dispatch/probe_max_ms",
            dispatch.probe_max_ms,
            1,
            YEAR_MS,
        ),
        (
            "/server/dispatch/circuit_after",
            dispatch.circuit_after.into(),
            1,
            u64::MAX,
        ),
        (
            "/server/dispatch/traps_after",
            dispatch.traps_after.into(),
            1,
            u64::MAX,
        ),
        ("/server/resolver/queue", of(resolver.queue), 1, MANY),
        (
            "/server/resolver/concurrency",
            of(resolver.concurrency),
            1,
            MANY,
        ),
        (
            "/server/resolver/circuit_after",
            resolver.circuit_after.into(),
            1,
            u64::MAX,
        ),
        (
            "/server/resolver/retry_base_ms",
            resolver.retry_base_ms,
            1,
            resolver.retry_max_ms,
        ),
        (
            "/server/resolver/retry_max_ms",
            resolver.retry_max_ms,
            1,
            YEAR_MS,
        ),
        (
            "/server/gate/connect_timeout_ms",
            gate.connect_timeout_ms,
            1,
            YEAR_MS,
        ),
        (
            "/server/gate/default_request_timeout_ms",
            gate.default_request_timeout_ms,
            1,
            YEAR_MS,
        ),
        (
            "/server/gate/max_request_bytes",
            gate.max_request_bytes,
            1,
            u64::MAX,
        ),
        (
            "/server/gate/max_request_headers_bytes",
            gate.max_request_headers_bytes,
            1,
            u64::MAX,
        ),
        (
            "/server/gate/max_request_headers",
            of(gate.max_request_headers),
            1,
            MOST_HEADERS,
        ),
        (
            "/server/gate/max_sign_bytes",
            gate.max_sign_bytes,
            1,
            u64::MAX,
        ),
        (
            "/server/gate/max_response_bytes",
            gate.max_response_bytes,
            1,
            u64::MAX,
        ),
        (
            "/server/gate/max_response_headers_bytes",
            gate.max_response_headers_bytes,
            1,
            u64::MAX,
        ),
        (
            "/server/gate/send_all_concurrency",
            of(gate.send_all_concurrency),
            1,
            MANY,
        ),
        (
            "/server/gate/send_all_requests",
            of(gate.send_all_requests),
            1,
            MANY,
        ),
        (
            "/server/gate/edge_guard_ms",
            gate.edge_guard_ms,
            0,
            MOST_GUARD_MS,
        ),
        (
            "/server/gate/reach_guard_ms",
            gate.reach_guard_ms,
            0,
            MOST_GUARD_MS,
        ),
        ("/server/gate/max_pools", of(gate.max_pools), 1, MANY),
        ("/server/runtime/slots", runtime.slots.into(), 1, 65_536),
        ("/server/runtime/workers", of(runtime.workers), 1, 1024),
        (
            "/server/runtime/cpu_budget_ms",
            runtime.cpu_budget_ms,
            10,
            YEAR_MS,
        ),
        (
            "/server/runtime/memory_bytes",
            of(runtime.memory_bytes),
            1 << 16,
            1 << 32,
        ),
        (
            "/server/runtime/transfer_bytes",
            of(runtime.transfer_bytes),
            1 << 10,
            1 << 32,
        ),
        (
            "/server/runtime/max_component_bytes",
            of(runtime.max_component_bytes),
            1,
            1 << 32,
        ),
        (
            "/server/runtime/describe_ms",
            runtime.describe_ms,
            10,
            YEAR_MS,
        ),
        (
            "/server/runtime/calls_per_instance",
            runtime.calls_per_instance.into(),
            1,
            MANY,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(issues(&ServerSettings::default()), []);
    }

    #[test]
    fn numbers_that_nothing_can_work_with_are_named() {
        let mut server = ServerSettings::default();
        server.store.write_queue = 0;
        server.store.readers = 0;
        server.api.page_default = 0;
        server.dispatch.window = 0;
        server.runtime.slots = 0;
        for share in [f64::NAN, 1.5, -9.0] {
            server.gate.rate_guard_share = share;
            let places: Vec<String> = issues(&server)
                .into_iter()
                .map(|issue| issue.pointer)
                .collect();
            let expected = [
                "api/page_default",
                "store/write_queue",
                "store/readers",
                "dispatch/window",
                "runtime/slots",
                "gate/rate_guard_share",
            ];
            assert_eq!(places, expected.map(|place| format!("/server/{place}")));
        }
    }
}
