//! What the scheduler knows about limits.

use crate::domain::ids::ConnectionId;
use crate::time::Mono;

/// A forecast of a connection's limits. The limits themselves are acquired when a request is sent.
pub trait LimitForecast {
    /// Requests that could be sent soon and are not reserved yet. If there are none, also the limit
    /// and the instant to wait for.
    fn headroom(&self, connection: ConnectionId, now: Mono) -> (u32, Option<(String, Mono)>);
}
