//! The API's bounds. Each has a name, a default, and an error that contains the name.

use egression_core::domain::ids::MAX_JOBS_PER_EXECUTION;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::documents::validate::Issue;

/// The largest quota. A larger one in the shortest window would not limit anything.
const MAX_QUOTA_REQUESTS: u64 = 1_000_000;
/// The longest window of a quota, in milliseconds: a day.
const MAX_QUOTA_WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

/// The longest timeout of a connection, in milliseconds: a day.
const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;

/// The table `[server.api]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Bytes of one bulk request after decoding.
    pub bulk_max_bytes: u64,
    /// How many times its compressed size a body can reach after its first 8 MiB.
    pub gzip_max_ratio: u64,
    /// Bytes of one item of a bulk request, and of the body of `POST /v1/jobs`.
    pub max_item_bytes: u64,
    /// Bytes of one inline body (`payload`).
    pub max_payload_bytes: u64,
    /// Jobs that one request can expand to; at most 16,777,216.
    pub max_jobs_per_request: u32,
    /// Objects that one job can depend on.
    pub max_depends_on: u32,
    /// `depends_on` references in one request, over all its jobs.
    pub max_dependencies_per_request: u32,
    /// Bytes of bodies, ids and other texts of all jobs of one request, after the expansion: one
    /// job per object and channel, each with its copy of `defaults`.
    pub expanded_max_bytes: u64,
    /// Bytes of staged items in one write. A write has at most 1,000 items.
    pub stage_max_bytes: u64,
    /// Jobs of one bulk request that are stored while its body arrives. The host counts further
    /// ones against the bounds, keeps them in a temporary file in the data directory, and stores
    /// them when the whole body has arrived.
    pub stage_ahead_jobs: u32,
    /// The same for the bytes of bodies, ids and other texts.
    pub stage_ahead_bytes: u64,
    /// Time for the body of a submission to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long `POST /v1/jobs` with one object and one channel waits for the result by default, in
    /// milliseconds.
    pub sync_wait_ms: u64,
    /// The longest wait with `Prefer: wait`, in milliseconds.
    pub max_wait_ms: u64,
    /// Items per page without `limit`.
    pub page_default: u32,
    /// The largest `limit`.
    pub page_limit: u32,
    /// Unfinished jobs of all subscriptions. Above this number, submissions get 503.
    pub backlog_max: u64,
    /// Open connections. On a connection beyond this number, only `/livez`, `/readyz` and
    /// `/metrics` respond; other requests get 503. By default half of the process's limit on open
    /// files (the host raises its soft limit to the hard one), at most 16,384.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// The same for one client address, or one /64 network of IPv6. By default three quarters of
    /// `max_connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections_per_address: Option<u32>,
    /// Time for the head of a connection's first request to arrive, in milliseconds. Then the host
    /// closes the connection.
    pub head_timeout_ms: u64,
    /// Time after which the host closes a connection that has no request in progress and takes no
    /// bytes of a response, in milliseconds. It includes the time for the head of the next request.
    pub idle_timeout_ms: u64,
    /// Concurrent requests; more get 503. Requests that only wait (`Prefer: wait`) do not count.
    pub request_concurrency: u32,
    /// Concurrent requests of one API key; more get 429. All keys of one subscription count as one
    /// key, here and below.
    pub requests_per_key: u32,
    /// Requests of one API key in `quota_window_ms`, as a burst and on average; more get 429
    /// (`quota_exceeded`). Every response states the rest (`RateLimit`). 0: no quota.
    pub quota_requests: u32,
    /// Time in which a used quota refills completely, in milliseconds.
    pub quota_window_ms: u64,
    /// Requests of one API key that wait concurrently (`Prefer: wait`, and the default wait of
    /// `POST /v1/jobs`); more get their response without waiting.
    pub waits_per_key: u32,
    /// Submissions received concurrently; more get 503.
    pub receive_concurrency: u32,
    /// Submissions received concurrently from one API key; more get 429.
    pub receive_per_key: u32,
    /// Bytes of an uploaded connector.
    pub connector_max_bytes: u64,
    /// Bytes of a document, and of the text of `documents:apply`.
    pub document_max_bytes: u64,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            bulk_max_bytes: 256 * 1024 * 1024,
            gzip_max_ratio: 300,
            max_item_bytes: 2 * 1024 * 1024,
            max_payload_bytes: 1024 * 1024,
            max_jobs_per_request: 1_000_000,
            max_depends_on: 100,
            max_dependencies_per_request: 200_000,
            expanded_max_bytes: 1024 * 1024 * 1024,
            stage_max_bytes: 4 * 1024 * 1024,
            stage_ahead_jobs: 20_000,
            stage_ahead_bytes: 64 * 1024 * 1024,
            body_timeout_ms: 120_000,
            sync_wait_ms: 1000,
            max_wait_ms: 60_000,
            page_default: 100,
            page_limit: 1000,
            backlog_max: 5_000_000,
            max_connections: None,
            max_connections_per_address: None,
            head_timeout_ms: 15_000,
            idle_timeout_ms: 75_000,
            request_concurrency: 1024,
            requests_per_key: 256,
            quota_requests: 60_000,
            quota_window_ms: 60_000,
            waits_per_key: 256,
            receive_concurrency: 32,
            receive_per_key: 8,
            connector_max_bytes: 64 * 1024 * 1024,
            document_max_bytes: 1024 * 1024,
        }
    }
}

impl ApiSettings {
    /// The invalid settings, with pointers relative to the API's table.
    pub fn issues(&self) -> Vec<Issue> {
        let bounds = [
            ("/bulk_max_bytes", self.bulk_max_bytes, 1, u64::MAX),
            ("/gzip_max_ratio", self.gzip_max_ratio, 1, u64::MAX),
            (
                "/max_item_bytes",
                self.max_item_bytes,
                1,
                self.bulk_max_bytes,
            ),
            (
                "/max_payload_bytes",
                self.max_payload_bytes,
                1,
                self.max_item_bytes,
            ),
            (
                "/max_jobs_per_request",
                u64::from(self.max_jobs_per_request),
                1,
                u64::from(MAX_JOBS_PER_EXECUTION),
            ),
            ("/expanded_max_bytes", self.expanded_max_bytes, 1, u64::MAX),
            ("/body_timeout_ms", self.body_timeout_ms, 1, u64::MAX),
            ("/sync_wait_ms", self.sync_wait_ms, 0, self.max_wait_ms),
            (
                "/page_default",
                u64::from(self.page_default),
                1,
                u64::from(self.page_limit),
            ),
            ("/backlog_max", self.backlog_max, 1, u64::MAX),
            (
                "/max_connections",
                self.max_connections.map_or(1, u64::from),
                1,
                u64::MAX,
            ),
            (
                "/max_connections_per_address",
                self.max_connections_per_address.map_or(1, u64::from),
                1,
                u64::MAX,
            ),
            ("/head_timeout_ms", self.head_timeout_ms, 1, MAX_TIMEOUT_MS),
            ("/idle_timeout_ms", self.idle_timeout_ms, 1, MAX_TIMEOUT_MS),
            (
                "/request_concurrency",
                u64::from(self.request_concurrency),
                1,
                u64::MAX,
            ),
            (
                "/requests_per_key",
                u64::from(self.requests_per_key),
                1,
                u64::MAX,
            ),
            (
                "/quota_requests",
                u64::from(self.quota_requests),
                0,
                MAX_QUOTA_REQUESTS,
            ),
            (
                "/quota_window_ms",
                self.quota_window_ms,
                1000,
                MAX_QUOTA_WINDOW_MS,
            ),
            (
                "/receive_concurrency",
                u64::from(self.receive_concurrency),
                1,
                u64::MAX,
            ),
            (
                "/receive_per_key",
                u64::from(self.receive_per_key),
                1,
                u64::MAX,
            ),
        ];
        let wrong = bounds
            .into_iter()
            .filter(|(_, value, min, max)| !(min..=max).contains(&value));
        wrong
            .map(|(pointer, value, min, max)| {
                Issue::new(
                    pointer,
                    "value.out_of_range",
                    format!("expected {min} to {max}, not {value}"),
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_settings_are_checked_against_their_bounds() {
        assert_eq!(ApiSettings::default().issues(), []);
        let wrong = ApiSettings {
            max_jobs_per_request: 1 << 25,
            page_default: 0,
            max_payload_bytes: 1 << 40,
            ..ApiSettings::default()
        };
        let places: Vec<String> = wrong
            .issues()
            .into_iter()
            .map(|issue| issue.pointer)
            .collect();
        assert_eq!(
            places,
            [
                "/max_payload_bytes",
                "/max_jobs_per_request",
                "/page_default"
            ]
        );
    }
}
