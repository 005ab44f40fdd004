//! The API's bounds: each has a name, a default and an error that names it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The table `[server.api]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSettings {
    /// Bytes of one bulk request after decoding.
    pub bulk_max_bytes: u64,
    /// How many times larger than it was sent a compressed body may become, beyond its first 8 MiB.
    pub gzip_max_ratio: u64,
    /// Bytes of one item of a bulk request, and of the body of `POST /v1/jobs`.
    pub max_item_bytes: u64,
    /// Bytes of one inline body (`payload`).
    pub max_payload_bytes: u64,
    /// Jobs that one request may expand to; at most 16,777,216.
    pub max_jobs_per_request: u32,
    /// Objects that one job may depend on.
    pub max_depends_on: u32,
    /// `depends_on` references in one request, over all its jobs.
    pub max_dependencies_per_request: u32,
    /// Bytes of staged items that are put into one write, whatever their number (at most 1,000).
    pub stage_max_bytes: u64,
    /// How long the body of a submission may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long `POST /v1/jobs` with one object and one channel waits for the end by default, in milliseconds.
    pub sync_wait_ms: u64,
    /// The longest wait that `Prefer: wait` can ask for, in milliseconds.
    pub max_wait_ms: u64,
    /// Items of a page when `limit` is not given.
    pub page_default: u32,
    /// The largest `limit`.
    pub page_limit: u32,
    /// Unfinished jobs of all subscriptions above which submissions are refused with 503.
    pub backlog_max: u64,
    /// Requests served at once, waiting ones included; more are refused with 503.
    pub request_concurrency: u32,
    /// Submissions received at once; more are refused with 503.
    pub receive_concurrency: u32,
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
            stage_max_bytes: 4 * 1024 * 1024,
            body_timeout_ms: 120_000,
            sync_wait_ms: 1000,
            max_wait_ms: 60_000,
            page_default: 100,
            page_limit: 1000,
            backlog_max: 5_000_000,
            request_concurrency: 1024,
            receive_concurrency: 32,
            connector_max_bytes: 64 * 1024 * 1024,
            document_max_bytes: 1024 * 1024,
        }
    }
}
