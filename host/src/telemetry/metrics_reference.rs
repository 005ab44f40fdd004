//! Every metric with its kind, labels and meaning, for the recorder and for `docs/metrics.md`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// The names that `/metrics` shows.
pub(super) mod name {
    pub(in super::super) const BUILD_INFO: &str = "egression_build_info";
    pub(in super::super) const COMPILE_SECONDS: &str = "egression_compile_duration_seconds";
    pub(in super::super) const CONNECTIONS: &str = "egression_connections";
    pub(in super::super) const CONNECTOR_CALLS: &str = "egression_connector_calls_total";
    pub(in super::super) const CONNECTOR_CALL_SECONDS: &str =
        "egression_connector_call_duration_seconds";
    pub(in super::super) const CONNECTOR_ITEMS: &str = "egression_connector_items_total";
    pub(in super::super) const CPU_SECONDS: &str = "egression_cpu_seconds_total";
    pub(in super::super) const GATE_REQUESTS: &str = "egression_gate_requests_total";
    pub(in super::super) const GATE_REQUEST_SECONDS: &str =
        "egression_gate_request_duration_seconds";
    pub(in super::super) const HTTP_CONNECTIONS: &str = "egression_http_connections";
    pub(in super::super) const HTTP_CONNECTIONS_REFUSED: &str =
        "egression_http_connections_refused_total";
    pub(in super::super) const HTTP_REQUESTS: &str = "egression_http_requests_total";
    pub(in super::super) const HTTP_REQUEST_SECONDS: &str =
        "egression_http_request_duration_seconds";
    pub(in super::super) const INSTANCES: &str = "egression_instances";
    pub(in super::super) const ITEMS_REFUSED: &str = "egression_items_refused_total";
    pub(in super::super) const JOBS_ENDED: &str = "egression_jobs_ended_total";
    pub(in super::super) const JOBS_SUBMITTED: &str = "egression_jobs_submitted_total";
    pub(in super::super) const JOBS_UNFINISHED: &str = "egression_jobs_unfinished";
    pub(in super::super) const LIMIT_WAIT_SECONDS: &str = "egression_limit_wait_seconds";
    pub(in super::super) const SOURCE_OBJECTS: &str = "egression_source_objects_total";
    pub(in super::super) const SOURCE_REQUESTS: &str = "egression_source_requests_total";
    pub(in super::super) const SOURCE_REQUEST_SECONDS: &str =
        "egression_source_request_duration_seconds";
    pub(in super::super) const STORE_CHECKPOINTS: &str = "egression_store_checkpoints_total";
    pub(in super::super) const STORE_COMMITS: &str = "egression_store_commits_total";
    pub(in super::super) const STORE_COMMIT_ROWS: &str = "egression_store_commit_rows";
    pub(in super::super) const STORE_COMMIT_SECONDS: &str =
        "egression_store_commit_duration_seconds";
    pub(in super::super) const STORE_LOG_BYTES: &str = "egression_store_log_bytes_total";
    pub(in super::super) const STORE_STATEMENTS: &str = "egression_store_statements_total";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grows only, from 0 at the start of the host.
    Counter,
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

pub(super) struct Metric {
    pub(super) name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

const REQUEST_STATUS: &str = "`status`: the class of the response (`2xx` …), or why no response \
    came: `denied`, `limited`, `unrecorded`, `never_sent`, `no_answer`, `credential_refused`.";

/// All metrics, in the order of the reference.
pub(super) const ALL: [Metric; 28] = [
    metric(
        name::JOBS_SUBMITTED,
        Kind::Counter,
        &["channel"],
        "Accepted jobs: their submission is durable.",
    ),
    metric(
        name::ITEMS_REFUSED,
        Kind::Counter,
        &[],
        "Lines refused in submissions whose other lines were accepted.",
    ),
    metric(
        name::JOBS_ENDED,
        Kind::Counter,
        &["channel", "state"],
        "Ended jobs, by their final state.",
    ),
    metric(
        name::JOBS_UNFINISHED,
        Kind::Gauge,
        &[],
        "Jobs that have not ended, including those of submissions still being received.",
    ),
    metric(
        name::CONNECTOR_CALLS,
        Kind::Counter,
        &["connector", "call", "outcome"],
        "Calls of connectors. `call`: the function of the contract. `outcome`: `answered`, or the \
         call error.",
    ),
    metric(
        name::CONNECTOR_CALL_SECONDS,
        Kind::Histogram,
        &["connector", "call"],
        "Duration of connector calls, including the wait for an instance.",
    ),
    metric(
        name::CONNECTOR_ITEMS,
        Kind::Counter,
        &["connector"],
        "Items passed to `deliver`. Divided by its calls: items per call.",
    ),
    metric(
        name::GATE_REQUESTS,
        Kind::Counter,
        &["channel", "status"],
        "Requests of connections at the gate, including those for tokens.",
    ),
    metric(
        name::GATE_REQUEST_SECONDS,
        Kind::Histogram,
        &["channel"],
        "Duration of admitted requests, from connecting to the last byte of the response.",
    ),
    metric(
        name::LIMIT_WAIT_SECONDS,
        Kind::Histogram,
        &["channel"],
        "Time that requests waited at the gate for their limits.",
    ),
    metric(
        name::SOURCE_REQUESTS,
        Kind::Counter,
        &["source", "status"],
        "Requests to sources.",
    ),
    metric(
        name::SOURCE_REQUEST_SECONDS,
        Kind::Histogram,
        &["source"],
        "Duration of requests to sources, including the wait for their limits.",
    ),
    metric(
        name::SOURCE_OBJECTS,
        Kind::Counter,
        &["source", "outcome"],
        "Objects requested from sources. `outcome`: `read`; `rejected` (absent or malformed); \
         `unavailable` (retried later).",
    ),
    metric(
        name::CONNECTIONS,
        Kind::Gauge,
        &["channel", "state"],
        "Connections by state: `active`, `paused`, `parked`, `circuit` (the circuit is open), \
         `no_connector` (the connector is not installed).",
    ),
    metric(
        name::INSTANCES,
        Kind::Gauge,
        &["state"],
        "Instances of connectors: `busy` in a call, or `idle`.",
    ),
    metric(
        name::COMPILE_SECONDS,
        Kind::Histogram,
        &["origin"],
        "Time to make a component runnable. `origin`: `compiler` or `cache`.",
    ),
    metric(
        name::STORE_COMMITS,
        Kind::Counter,
        &["outcome"],
        "Transactions of the writer: `committed`, or `undone` after a database error.",
    ),
    metric(
        name::STORE_COMMIT_ROWS,
        Kind::Histogram,
        &[],
        "Approximate number of rows in a transaction of the writer.",
    ),
    metric(
        name::STORE_COMMIT_SECONDS,
        Kind::Histogram,
        &[],
        "Duration of the writer's transactions, from begin to disk.",
    ),
    metric(
        name::STORE_STATEMENTS,
        Kind::Counter,
        &[],
        "Statements that the database ran, with those that begin and end transactions.",
    ),
    metric(
        name::STORE_LOG_BYTES,
        Kind::Counter,
        &[],
        "Bytes written to the database's write-ahead log.",
    ),
    metric(
        name::STORE_CHECKPOINTS,
        Kind::Counter,
        &[],
        "Times that the content of the write-ahead log was moved into the database.",
    ),
    metric(
        name::HTTP_REQUESTS,
        Kind::Counter,
        &["method", "route", "status"],
        "Requests to the REST API. `route`: the template, or `none` if no route matched. The \
         custom verbs of a resource share its route.",
    ),
    metric(
        name::HTTP_REQUEST_SECONDS,
        Kind::Histogram,
        &["method", "route"],
        "Time until the response of a REST request began; long polls wait on purpose.",
    ),
    metric(
        name::HTTP_CONNECTIONS,
        Kind::Gauge,
        &[],
        "Open connections to the REST API, within its bounds.",
    ),
    metric(
        name::HTTP_CONNECTIONS_REFUSED,
        Kind::Counter,
        &["bound"],
        "Connections beyond a bound. `bound`: `all` (`api.max_connections`) or `address` \
         (`api.max_connections_per_address`).",
    ),
    metric(
        name::CPU_SECONDS,
        Kind::Counter,
        &["layer"],
        "CPU time of the host. `layer`: `api`; `dispatch`; `delivery`; `runtime` (guests); `gate`; \
         `store_readers` and `store_writer`, with SQLite's threads (Linux); `other` (connections, \
         compilation, the log). All layers together are the time of the process. The shares of the \
         layers are estimates from one poll in 32.",
    ),
    metric(
        name::BUILD_INFO,
        Kind::Gauge,
        &["version"],
        "Always 1. `version`: the running version.",
    ),
];

/// Registers the help text of each metric.
pub(super) fn describe() {
    for metric in &ALL {
        let help = plain(metric);
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, help),
            Kind::Gauge => describe_gauge!(metric.name, help),
            Kind::Histogram => describe_histogram!(metric.name, help),
        }
    }
}

/// The help text of the CPU time.
pub(super) fn cpu_help() -> String {
    ALL.iter()
        .find(|metric| metric.name == name::CPU_SECONDS)
        .map(plain)
        .unwrap_or_default()
}

/// The help text without Markdown.
fn plain(metric: &Metric) -> String {
    whole_help(metric).replace('`', "")
}

fn whole_help(metric: &Metric) -> String {
    if metric.labels.contains(&"status") && metric.name != name::HTTP_REQUESTS {
        format!("{} {REQUEST_STATUS}", metric.help)
    } else {
        metric.help.to_owned()
    }
}

/// The reference of all metrics.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated by `egression metrics-reference`; do not edit.\n\n\
         `/metrics` serves these in Prometheus' text format. With the API, it needs an API key\n\
         that is not bound to a subscription, because the labels name the channels of all\n\
         tenants. At `operations_listen` (`egression serve --operations-listen`), it needs none.\n\
         Counters begin at 0 at each start of the host. A metric appears once its labels have\n\
         occurred. Labels are names from the configuration and words of the contract, never an\n\
         object, a key or a URL.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in &ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        text.push_str(&format!(
            "| `{}` | {kind} | {} | {} |\n",
            metric.name,
            labels.join(", "),
            whole_help(metric)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_name_follows_the_conventions() {
        for metric in &ALL {
            assert!(metric.name.starts_with("egression_"), "{}", metric.name);
            assert_eq!(
                metric.kind == Kind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            if metric.kind == Kind::Histogram {
                assert!(
                    metric.name.ends_with("_seconds") || metric.name.ends_with("_rows"),
                    "{}",
                    metric.name
                );
            }
            assert_eq!(
                ALL.iter().filter(|other| other.name == metric.name).count(),
                1,
                "{}",
                metric.name
            );
        }
    }
}
