//! How an owner uses its limits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Requests compared with what the limits would have admitted while jobs waited only for them. A
/// limit that several owners share counts in full for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that a greedy sender with the same limits and no guard could have sent while a job
    /// was admissible.
    pub possible: u64,
    /// The first divided by the second; null while there are too few requests for a meaningful
    /// value.
    pub used: Option<f64>,
}
