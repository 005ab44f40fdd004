//! How much of its limits an owner has used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Requests set against what the limits would have admitted while there was work for them. Limits
/// that are shared with other owners count whole for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Requests that left.
    pub requests: u64,
    /// Requests that a greedy sender with the same limits and no guard could have made while a job
    /// was admissible.
    pub possible: u64,
    /// The first divided by the second; none while too few requests were made for it to mean
    /// anything.
    pub used: Option<f64>,
}
