//! The bounds of the numbers in the `[server]` table.
//!
//! The lower bounds are the least that the host can work with; zero would often stop it, or let it
//! start and never do anything.

use super::server::ServerSettings;
use crate::documents::validate::{Issue, range};
use crate::store::FIRST_KEPT;

/// The upper bound of settings that cost memory or threads.
const MANY: u64 = 1 << 20;
/// The most headers of a request. The HTTP engine fails above 24,576.
const MOST_HEADERS: u64 = 16_384;
/// The most levels of a schema. The host reads at most 128 levels of JSON, and a description that
/// contains the schema has some of its own.
const MOST_SCHEMA_LEVELS: u64 = 100;
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// All numbers outside their bounds. Pointers begin with `/server`.
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
    issues.extend(
        runtime_tables(server)
            .into_iter()
            .filter_map(|(pointer, value, least, most)| range(pointer, value, least, most, "")),
    );
    let share = server.gate.rate_guard_share;
    if !(0.0..=0.9).contains(&share) {
        let detail = format!("must be between 0 and 0.9, not {share}");
        issues.push(Issue::new(
            "/server/gate/rate_guard_share",
            "value.out_of_range",
            detail,
        ));
    }
    issues
}

/// `part.field: least, most;` for each number: its pointer, its value and its bounds. A field may
/// be in a table of its part.
macro_rules! bounds {
    ($server:ident: $($part:ident.$($field:ident).+: $least:expr, $most:expr;)*) => {
        vec![$((
            concat!("/server/", stringify!($part), $("/", stringify!($field)),+),
            number($server.$part.$($field).+),
            $least,
            $most,
        )),*]
    };
}

fn numbers(server: &ServerSettings) -> Vec<(&'static str, u64, u64, u64)> {
    bounds! { server:
        store.write_queue: 1, MANY;
        store.group_rows: 1, MANY;
        store.busy_timeout_ms: 1, YEAR_MS;
        store.log_max_bytes: 1 << 20, u64::MAX;
        store.readers: 1, 1024;
        store.retention_ms: 0, 100 * YEAR_MS;
        store.removal_interval_ms: 1, YEAR_MS;
        store.events_per_job: 2 * u64::from(FIRST_KEPT), MANY;
        dispatch.window: 1, MANY;
        dispatch.page: 1, MANY;
        dispatch.probe_min_ms: 1, server.dispatch.probe_max_ms;
        dispatch.probe_max_ms: 1, YEAR_MS;
        dispatch.circuit_after: 1, u64::MAX;
        dispatch.traps_after: 1, u64::MAX;
        resolver.queue: 1, MANY;
        resolver.concurrency: 1, MANY;
        resolver.circuit_after: 1, u64::MAX;
        resolver.retry_base_ms: 1, server.resolver.retry_max_ms;
        resolver.retry_max_ms: 1, YEAR_MS;
        gate.connect_timeout_ms: 1, YEAR_MS;
        gate.default_request_timeout_ms: 1, YEAR_MS;
        gate.max_request_bytes: 1, u64::MAX;
        gate.max_request_headers_bytes: 1, u64::MAX;
        gate.max_request_headers: 1, MOST_HEADERS;
        gate.max_sign_bytes: 1, u64::MAX;
        gate.max_response_bytes: 1, u64::MAX;
        gate.max_response_headers_bytes: 1, u64::MAX;
        gate.send_all_concurrency: 1, MANY;
        gate.send_all_requests: 1, MANY;
        gate.edge_guard_ms: 0, HOUR_MS;
        gate.reach_guard_ms: 0, HOUR_MS;
        gate.max_pools: 1, MANY;
        runtime.slots: 1, 65_536;
        runtime.workers: 1, 1024;
        runtime.cpu_budget_ms: 10, YEAR_MS;
        runtime.memory_bytes: 1 << 16, 1 << 32;
        runtime.transfer_bytes: 1 << 10, 1 << 32;
        runtime.max_component_bytes: 1, 1 << 32;
        runtime.describe_ms: 10, YEAR_MS;
        runtime.guest_memory_total_bytes: 1 << 20, 1 << 44;
        runtime.calls_per_instance: 1, MANY;
        runtime.compile.slots: 1, 1024;
        runtime.compile.small_component_bytes: 0, 1 << 32;
        runtime.compile.queue_ms: 1, YEAR_MS;
        runtime.compile.deadline_ms: 10, YEAR_MS;
        runtime.compile.memory_bytes: 256 << 20, 1 << 44;
        runtime.compile.max_functions: 1, 1_000_000;
        runtime.compile.max_types: 1, 1_000_000;
        runtime.compile.max_code_bytes: 1, 1 << 32;
    }
}

fn runtime_tables(server: &ServerSettings) -> Vec<(&'static str, u64, u64, u64)> {
    bounds! { server:
        runtime.description.max_bytes: 1 << 10, 1 << 30;
        runtime.description.max_title_chars: 1, MANY;
        runtime.description.max_text_bytes: 64, MANY;
        runtime.description.max_object_types: 1, MANY;
        runtime.description.max_references: 0, MANY;
        runtime.description.max_buckets: 0, MANY;
        runtime.description.max_auth_schemes: 0, MANY;
        runtime.description.max_hosts: 0, MANY;
        runtime.schemas.threads: 1, 1024;
        runtime.schemas.deadline_ms: 1, YEAR_MS;
        runtime.schemas.max_bytes: 1, 1 << 30;
        runtime.schemas.max_depth: 1, MOST_SCHEMA_LEVELS;
        runtime.schemas.max_subschemas: 1, MANY;
        runtime.schemas.max_evaluations: 1, MANY;
        runtime.schemas.max_pattern_bytes: 0, MANY;
        runtime.schemas.max_pattern_states: 0, MANY;
        runtime.schemas.max_steps: 1, u64::MAX;
    }
}

/// A number that does not fit (a negative one) is above every upper bound.
fn number(value: impl TryInto<u64>) -> u64 {
    value.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_bounds() {
        assert_eq!(issues(&ServerSettings::default()), []);
    }

    #[test]
    fn number_out_of_bounds_is_reported_with_its_pointer() {
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
