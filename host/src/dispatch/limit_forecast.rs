//! The forecast of the gate's limits for the scheduler.

use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, Owner};
use egression_core::scheduler::LimitForecast;
use egression_core::time::Mono;

use crate::gate::Gate;

#[derive(Debug)]
pub(super) struct GateForecast(pub(super) Arc<Gate>);

impl LimitForecast for GateForecast {
    fn headroom(&self, connection: ConnectionId, _now: Mono) -> (u32, Option<(String, Mono)>) {
        let headroom = self.0.headroom(owner(connection));
        (headroom.calls, headroom.until)
    }
}

/// The name under which the gate knows a connection.
pub(super) fn owner(connection: ConnectionId) -> Owner {
    Owner::Connection(connection)
}
