//! The `[gate]` table of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use egression_core::scheduler::limits::Guard;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bounds on everything that leaves the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateSettings {
    /// Timeout for name lookup, connection and TLS handshake of one request, in milliseconds. If it
    /// expires, nothing was sent.
    pub connect_timeout_ms: u64,
    /// Timeout of one request, from its first byte to the last byte of the response, in
    /// milliseconds, unless the request or the destination sets its own. Time spent waiting for a
    /// limit does not count.
    pub default_request_timeout_ms: u64,
    /// The largest request body in bytes.
    pub max_request_bytes: u64,
    /// The largest total of a request's URL, header names and header values in bytes, including
    /// their secrets.
    pub max_request_headers_bytes: u64,
    /// The most headers in one request.
    pub max_request_headers: usize,
    /// The most costs that one request may state.
    pub max_request_costs: usize,
    /// The most different placeholders in one request or one text to sign.
    pub max_placeholders: usize,
    /// The largest total of the key and data of one `sign` in bytes, including their secrets.
    pub max_sign_bytes: u64,
    /// The most secrets that a connector may deposit in one call.
    pub max_deposits_per_call: usize,
    /// The most secrets of a connection, including those that its connector deposits.
    pub max_secrets_per_connection: usize,
    /// The largest response body in bytes. A longer one is truncated and marked as such.
    pub max_response_bytes: u64,
    /// The largest total of a response's header names and values in bytes. Further headers are
    /// omitted.
    pub max_response_headers_bytes: u64,
    /// The most concurrent requests of one `send-all`.
    pub send_all_concurrency: usize,
    /// The most requests in one `send-all`. Further ones are not sent.
    pub send_all_requests: usize,
    /// The largest total of all responses of one `send-all` in bytes. Further responses come
    /// without their bodies and are marked as truncated.
    pub send_all_response_bytes: u64,
    /// How far ahead admission looks for capacity in a limit, in milliseconds.
    pub admission_horizon_ms: u64,
    /// The share of a token bucket's rate that stays unused, because the destination's clock may
    /// run differently.
    pub rate_guard_share: f64,
    /// How late a request is assumed to arrive, in milliseconds, until its response shows less.
    /// Minimum intervals, and token buckets with a burst too small for it, wait for that delay;
    /// larger bursts are reduced by it. A window with an anchor is extended by it at both ends, any
    /// other window by a hundredth, and by this at most.
    pub edge_guard_ms: u64,
    /// How long an unanswered request is assumed to be on its way, in milliseconds. Until then it
    /// keeps its place in a token bucket's burst, and a window counts it from its response on. So
    /// requests that a network stall bunches together stay within the limit.
    pub reach_guard_ms: u64,
    /// The most exchanges of one call that the history keeps.
    pub max_exchanges_per_call: usize,
    /// The most connection pools. Each distinct list of allowed addresses has its own.
    pub max_pools: usize,
    /// A PEM file with certificate authorities to trust in addition to the system's, for
    /// destinations and sources behind a private CA. The host reads it at startup and does not
    /// start if the file is unreadable or contains no certificate.
    #[schema(value_type = Option<String>)]
    pub extra_ca_file: Option<PathBuf>,
    /// Name servers to use instead of the system's, such as `127.0.0.1:53`.
    #[schema(value_type = Vec<String>)]
    pub nameservers: Vec<SocketAddr>,
}

impl GateSettings {
    /// The margin that the gate keeps from limits.
    pub const fn guard(&self) -> Guard {
        Guard {
            rate_share: self.rate_guard_share,
            edge_ms: self.edge_guard_ms,
            reach_ms: self.reach_guard_ms,
        }
    }
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5000,
            default_request_timeout_ms: 15_000,
            max_request_bytes: 32 * 1024 * 1024,
            max_request_headers_bytes: 64 * 1024,
            max_request_headers: 256,
            max_request_costs: 16,
            max_placeholders: 32,
            max_sign_bytes: 8 * 1024 * 1024,
            max_deposits_per_call: 16,
            max_secrets_per_connection: 64,
            max_response_bytes: 8 * 1024 * 1024,
            max_response_headers_bytes: 64 * 1024,
            send_all_concurrency: 8,
            send_all_requests: 256,
            send_all_response_bytes: 32 * 1024 * 1024,
            admission_horizon_ms: 300,
            rate_guard_share: 0.02,
            edge_guard_ms: 50,
            reach_guard_ms: 1000,
            max_exchanges_per_call: 256,
            max_pools: 256,
            extra_ca_file: None,
            nameservers: Vec::new(),
        }
    }
}
