//! The gate's bounds.

use std::net::SocketAddr;
use std::path::PathBuf;

use egression_core::scheduler::limits::Guard;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bounds on everything that leaves the host: the `[gate]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GateSettings {
    /// Name lookup, connection and TLS handshake of one request, in milliseconds. Past this,
    /// nothing was sent.
    pub connect_timeout_ms: u64,
    /// One request from its first byte to the answer's last, where neither the request nor the
    /// destination says, in milliseconds. Waiting for a limit does not count.
    pub default_request_timeout_ms: u64,
    /// The largest request body in bytes.
    pub max_request_bytes: u64,
    /// The URL and the names and values of a request's headers together, in bytes, with their
    /// secrets.
    pub max_request_headers_bytes: u64,
    /// Headers of one request.
    pub max_request_headers: usize,
    /// Costs that one request may state.
    pub max_request_costs: usize,
    /// Different placeholders of secrets in one request or one text to sign.
    pub max_placeholders: usize,
    /// The key and the data of one `sign` together, in bytes, with their secrets.
    pub max_sign_bytes: u64,
    /// Secrets that a connector may keep in one call.
    pub max_deposits_per_call: usize,
    /// Secrets that a connection may have, those that a connector keeps included.
    pub max_secrets_per_connection: usize,
    /// The largest answer's body in bytes; what is longer is cut off and says so.
    pub max_response_bytes: u64,
    /// Names and values of an answer's headers together, in bytes; what is beyond is left out.
    pub max_response_headers_bytes: u64,
    /// Requests of one `send-all` that are under way at once.
    pub send_all_concurrency: usize,
    /// Requests of one `send-all`; those beyond are denied.
    pub send_all_requests: usize,
    /// The answers of one `send-all` together, in bytes; those beyond come without their bodies and
    /// say so.
    pub send_all_response_bytes: u64,
    /// How far ahead admission looks for room in a limit, in milliseconds.
    pub admission_horizon_ms: u64,
    /// The part of a token bucket's rate that is left unused, because the destination's clock is
    /// not ours.
    pub rate_guard_share: f64,
    /// How much longer a window is kept than it says (one with an anchor at both ends), in
    /// milliseconds, because requests take unequal time to arrive.
    pub edge_guard_ms: u64,
    /// For how long a request without an answer is taken to be still on its way, in milliseconds:
    /// until then it keeps its place in a token bucket's burst, and a window counts it from its
    /// answer on. So a stall on the way, which bunches requests up, breaks no limit.
    pub reach_guard_ms: u64,
    /// Requests of one call whose exchange is kept for the history.
    pub max_exchanges_per_call: usize,
    /// How many different lists of allowed addresses keep a connection pool of their own.
    pub max_pools: usize,
    /// A file (PEM) with certificates of authorities that are trusted beside those of the system:
    /// for destinations and sources behind a private CA. Read at the host's start; one that cannot
    /// be read, or holds none, stops it.
    #[schema(value_type = Option<String>)]
    pub extra_ca_file: Option<PathBuf>,
    /// Name servers to ask instead of the system's: `127.0.0.1:53`.
    #[schema(value_type = Vec<String>)]
    pub nameservers: Vec<SocketAddr>,
}

impl GateSettings {
    /// How far the gate stays from limits.
    #[must_use]
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
