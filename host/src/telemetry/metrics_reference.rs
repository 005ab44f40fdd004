//! Every metric with its kind, labels and meaning: told to the recorder, and printed as
//! `docs/metrics.md`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Names, as they are on the wire.
pub(super) mod name {
    pub(in super::super) const BUILD_INFO: &str = "egression_build_info";
    pub(in super::super) const COMPILE_SECONDS: &str = "egression_compile_duration_seconds";
    pub(in super::super) const CONNECTIONS: &str = "egression_connections";
    pub(in super::super) const CONNECTOR_CALLS: &str = "egression_connector_calls_total";
    pub(in super::super) const CONNECTOR_CALL_SECONDS: &str =
        "egression_connector_call_duration_seconds";
    pub(in super::super) const CONNECTOR_ITEMS: &str = "egression_connector_items_total";
    pub(in super::super) const GATE_REQUESTS: &str = "egression_gate_requests_total";
    pub(in super::super) const GATE_REQUEST_SECONDS: &str =
        "egression_gate_request_duration_seconds";
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
    pub(in super::super) const STORE_COMMITS: &str = "egression_store_commits_total";
    pub(in super::super) const STORE_COMMIT_ROWS: &str = "egression_store_commit_rows";
    pub(in super::super) const STORE_COMMIT_SECONDS: &str =
        "egression_store_commit_duration_seconds";
}

/// How a metric is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, from 0 at the host's start.
    Counter,
    Gauge,
    /// Counts by size, with sum and count.
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

const REQUEST_STATUS: &str = "`status`: the class of the answer (`2xx` …), or why there was none: `denied`, `limited`, `unrecorded`, `never_sent`, \
     `no_answer`, `credential_refused`.";

/// All of them, in the order of the documents.
pub(super) const ALL: [Metric; 22] = [
    metric(
        name::JOBS_SUBMITTED,
        Kind::Counter,
        &["channel"],
        "Jobs accepted: their submission is durable.",
    ),
    metric(
        name::ITEMS_REFUSED,
        Kind::Counter,
        &[],
        "Lines of submissions refused at the door beside others that were accepted.",
    ),
    metric(
        name::JOBS_ENDED,
        Kind::Counter,
        &["channel", "state"],
        "Jobs ended, by the state that they ended in.",
    ),
    metric(
        name::JOBS_UNFINISHED,
        Kind::Gauge,
        &[],
        "Jobs that have not ended, those being received included.",
    ),
    metric(
        name::CONNECTOR_CALLS,
        Kind::Counter,
        &["connector", "call", "outcome"],
        "Calls of connectors. `call`: the function of the contract; `outcome`: `answered`, or the call error.",
    ),
    metric(
        name::CONNECTOR_CALL_SECONDS,
        Kind::Histogram,
        &["connector", "call"],
        "How long calls of connectors took, from asking for an instance to the end.",
    ),
    metric(
        name::CONNECTOR_ITEMS,
        Kind::Counter,
        &["connector"],
        "Items handed to connectors by `deliver`; divided by its calls: items per call.",
    ),
    metric(
        name::GATE_REQUESTS,
        Kind::Counter,
        &["channel", "status"],
        "Requests of connections at the gate, those for tokens included.",
    ),
    metric(
        name::GATE_REQUEST_SECONDS,
        Kind::Histogram,
        &["channel"],
        "How long requests that were admitted took, from the dial to the last byte of the answer.",
    ),
    metric(
        name::LIMIT_WAIT_SECONDS,
        Kind::Histogram,
        &["channel"],
        "How long requests waited at the gate for their limits.",
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
        "How long requests to sources took, waiting for their limits included.",
    ),
    metric(
        name::SOURCE_OBJECTS,
        Kind::Counter,
        &["source", "outcome"],
        "Objects asked of sources. `outcome`: `read`; `rejected`: the object is not there or of another shape; `unavailable`: later again.",
    ),
    metric(
        name::CONNECTIONS,
        Kind::Gauge,
        &["channel", "state"],
        "Connections by state: `active`, `paused`, `parked`, `circuit` (open), `no_connector` (not installed).",
    ),
    metric(
        name::INSTANCES,
        Kind::Gauge,
        &["state"],
        "Instances of connectors: `busy` in a call, `idle` kept for the next one.",
    ),
    metric(
        name::COMPILE_SECONDS,
        Kind::Histogram,
        &["origin"],
        "How long it took to make a component runnable. `origin`: `compiler`, or `cache`.",
    ),
    metric(
        name::STORE_COMMITS,
        Kind::Counter,
        &["outcome"],
        "Transactions of the writer: `committed`, or `undone` by the database's own trouble.",
    ),
    metric(
        name::STORE_COMMIT_ROWS,
        Kind::Histogram,
        &[],
        "About how many rows the writer grouped into a transaction.",
    ),
    metric(
        name::STORE_COMMIT_SECONDS,
        Kind::Histogram,
        &[],
        "How long transactions of the writer took, from their begin to the disk.",
    ),
    metric(
        name::HTTP_REQUESTS,
        Kind::Counter,
        &["method", "route", "status"],
        "Requests to the REST API. `route`: the template; `none`: no such route. The verbs of a resource share its route.",
    ),
    metric(
        name::HTTP_REQUEST_SECONDS,
        Kind::Histogram,
        &["method", "route"],
        "How long requests to the REST API took until their answer began; long polls wait on purpose.",
    ),
    metric(
        name::BUILD_INFO,
        Kind::Gauge,
        &["version"],
        "Always 1: the version that runs.",
    ),
];

/// Tells the recorder what each metric means.
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

/// The help text without the marks of Markdown.
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
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated by `egression metrics-reference`; do not edit.\n\n\
         `/metrics` serves these in the text format of Prometheus, without a key: beside the API, or at `operations_listen`\n\
         (`egression serve --operations-listen`) if that is set. Counters begin at 0 with each start of the host. A metric whose\n\
         labels have not occurred yet has no line. Labels are names from the configuration and words of the contract; an object,\n\
         a key or a URL is never one.\n\n\
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
    fn names_follow_the_conventions() {
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
