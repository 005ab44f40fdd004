//! The counters and measurements: one typed function per event, so that names and labels are in one
//! place.
//!
//! Names follow the conventions of Prometheus (<https://prometheus.io/docs/practices/naming/>).
//! Labels have bounded sets of values (channels, connectors, sources, states, classes); an object,
//! a key or a URL is never a label. Without a recorder (tests, the command line), every function
//! does nothing. [`super::exposition`] serves the page; [`super::metrics_reference`] explains each
//! metric.

use std::sync::Arc;

use egression_core::domain::outcome::CallError;
use egression_core::domain::state::JobState;
use metrics::{SharedString, counter, gauge, histogram};

use super::metrics_reference::name;

/// The label for a thing that is no longer configured, or a route that does not exist.
const NOBODY: &str = "none";

/// A channel's jobs were accepted: their submission is durable.
pub fn jobs_submitted(channel: &Arc<str>, jobs: u64) {
    counter!(name::JOBS_SUBMITTED, "channel" => shared(channel)).increment(jobs);
}

/// Lines of a submission were refused while others were accepted.
pub fn items_refused(items: u64) {
    counter!(name::ITEMS_REFUSED).increment(items);
}

/// A channel's jobs ended in this state.
pub fn jobs_ended(channel: &Arc<str>, state: JobState, jobs: u64) {
    counter!(name::JOBS_ENDED, "channel" => shared(channel), "state" => state.as_str())
        .increment(jobs);
}

/// A call of a connector ended. `call`: the function of the contract.
pub fn connector_called<T>(
    connector: &Arc<str>,
    call: &'static str,
    result: &Result<T, CallError>,
    took_us: u64,
) {
    let outcome = result.as_ref().err().map_or("answered", call_error);
    counter!(
        name::CONNECTOR_CALLS,
        "connector" => shared(connector), "call" => call, "outcome" => outcome
    )
    .increment(1);
    histogram!(name::CONNECTOR_CALL_SECONDS, "connector" => shared(connector), "call" => call)
        .record(seconds(took_us));
}

/// A call delivered items to a connector.
pub fn items_delivered(connector: &Arc<str>, items: usize) {
    counter!(name::CONNECTOR_ITEMS, "connector" => shared(connector)).increment(items as u64);
}

/// A component was compiled or loaded from the cache.
pub fn compiled(origin: &'static str, took_us: u64) {
    histogram!(name::COMPILE_SECONDS, "origin" => origin).record(seconds(took_us));
}

/// A request of a channel's connection ended at the gate. `end`: the status, or a word for why no
/// answer came. `took_us`: from the first byte sent to the last byte received; none if nothing was
/// sent.
pub fn gate_request(
    channel: Option<&Arc<str>>,
    end: Result<u16, &'static str>,
    took_us: Option<u64>,
) {
    // The resolver counts the requests to sources.
    let Some(channel) = channel else { return };
    counter!(name::GATE_REQUESTS, "channel" => shared(channel), "status" => request_status(end))
        .increment(1);
    if let Some(took_us) = took_us {
        histogram!(name::GATE_REQUEST_SECONDS, "channel" => shared(channel))
            .record(seconds(took_us));
    }
}

/// A request waited this long for its limits, admitted or not.
pub fn limit_waited(channel: Option<&Arc<str>>, waited_us: u64) {
    let Some(channel) = channel else { return };
    histogram!(name::LIMIT_WAIT_SECONDS, "channel" => shared(channel)).record(seconds(waited_us));
}

/// A request to a source ended. `took_us` includes the wait for its limits.
pub fn source_request(source: &Arc<str>, end: Result<u16, &'static str>, took_us: u64) {
    counter!(name::SOURCE_REQUESTS, "source" => shared(source), "status" => request_status(end))
        .increment(1);
    histogram!(name::SOURCE_REQUEST_SECONDS, "source" => shared(source)).record(seconds(took_us));
}

/// An object was read from a source. `outcome`: `read`, `rejected`, `unavailable`.
pub fn source_object(source: &Arc<str>, outcome: &'static str) {
    counter!(name::SOURCE_OBJECTS, "source" => shared(source), "outcome" => outcome).increment(1);
}

/// The writer ended a transaction of about this many rows.
pub fn store_committed(committed: bool, rows: usize, took_us: u64) {
    counter!(name::STORE_COMMITS, "outcome" => if committed { "committed" } else { "undone" })
        .increment(1);
    histogram!(name::STORE_COMMIT_SECONDS).record(seconds(took_us));
    #[expect(
        clippy::cast_precision_loss,
        reason = "the rows of a group are far fewer than 2^52"
    )]
    histogram!(name::STORE_COMMIT_ROWS).record(rows as f64);
}

/// The writer's commits made the write-ahead log longer.
pub fn store_logged(bytes: u64) {
    counter!(name::STORE_LOG_BYTES).increment(bytes);
}

/// The content of the write-ahead log was moved into the database.
pub fn store_checkpointed() {
    counter!(name::STORE_CHECKPOINTS).increment(1);
}

/// A request to the REST API was answered. `route`: the template; none if no route matched.
pub fn http_answered(method: &http::Method, route: Option<String>, status: u16, took_us: u64) {
    let (method, route) = (
        method_text(method),
        route.map_or(SharedString::const_str(NOBODY), SharedString::from),
    );
    counter!(
        name::HTTP_REQUESTS,
        "method" => method, "route" => route.clone(), "status" => status_text(status)
    )
    .increment(1);
    histogram!(name::HTTP_REQUEST_SECONDS, "method" => method, "route" => route)
        .record(seconds(took_us));
}

/// A connection to the API opened within the bounds.
pub fn connection_opened() {
    gauge!(name::HTTP_CONNECTIONS).increment(1.0);
}

/// A connection to the API closed.
pub fn connection_closed() {
    gauge!(name::HTTP_CONNECTIONS).decrement(1.0);
}

/// A connection exceeded a bound. `bound`: `all` or `address`.
pub fn connection_refused(bound: &'static str) {
    counter!(name::HTTP_CONNECTIONS_REFUSED, "bound" => bound).increment(1);
}

pub(super) fn set_unfinished(jobs: u64) {
    gauge!(name::JOBS_UNFINISHED).set(number(jobs));
}

pub(super) fn set_statements(statements: u64) {
    counter!(name::STORE_STATEMENTS).absolute(statements);
}

pub(super) fn set_connections(channel: &Arc<str>, state: &'static str, connections: u64) {
    gauge!(name::CONNECTIONS, "channel" => shared(channel), "state" => state)
        .set(number(connections));
}

pub(super) fn set_instances(state: &'static str, instances: u64) {
    gauge!(name::INSTANCES, "state" => state).set(number(instances));
}

pub(super) fn set_build() {
    gauge!(name::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// The label for jobs whose channel no longer exists.
pub fn nobody() -> Arc<str> {
    Arc::from(NOBODY)
}

fn shared(text: &Arc<str>) -> SharedString {
    SharedString::from(Arc::clone(text))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of a process' life fit into 52 bits"
)]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "these counts are far below 2^52"
)]
fn number(count: u64) -> f64 {
    count as f64
}

/// The class of a status, or why no answer came.
const fn request_status(end: Result<u16, &'static str>) -> &'static str {
    match end {
        Ok(100..=199) => "1xx",
        Ok(200..=299) => "2xx",
        Ok(300..=399) => "3xx",
        Ok(400..=499) => "4xx",
        Ok(_) => "5xx",
        Err(reason) => reason,
    }
}

const fn call_error(error: &CallError) -> &'static str {
    match error {
        CallError::AuthExpired(_) => "auth_expired",
        CallError::AuthRejected(_) => "auth_rejected",
        CallError::SettingsInvalid(_) => "settings_invalid",
        CallError::Throttled { .. } => "throttled",
        CallError::Unavailable { .. } => "unavailable",
        CallError::BatchRefused(_) => "batch_refused",
        CallError::Unsupported(_) => "unsupported",
        CallError::Internal(_) => "internal",
        CallError::NotRun(_) => "not_run",
        CallError::Trapped(_) => "trapped",
    }
}

/// A method that the API knows, or `other`.
fn method_text(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The three digits of a status, as a static text.
fn status_text(status: u16) -> &'static str {
    static TEXTS: std::sync::LazyLock<Vec<String>> =
        std::sync::LazyLock::new(|| (100..1000_u16).map(|code| code.to_string()).collect());
    TEXTS
        .get(usize::from(status).wrapping_sub(100))
        .map_or(NOBODY, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_for_any_client_input() {
        assert_eq!(
            (status_text(100), status_text(507), status_text(999)),
            ("100", "507", "999")
        );
        assert_eq!((status_text(0), status_text(u16::MAX)), (NOBODY, NOBODY));
        let made_up = http::Method::from_bytes(b"BREW").expect("a token is a method");
        assert_eq!(
            (method_text(&http::Method::PUT), method_text(&made_up)),
            ("PUT", "other")
        );
        assert_eq!(request_status(Ok(204)), "2xx");
        assert_eq!(request_status(Ok(599)), "5xx");
        assert_eq!(request_status(Err("denied")), "denied");
    }
}
