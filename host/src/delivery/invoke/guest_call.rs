//! Opens the calls of guests: each has a way out of its own, bound to its connection and deadline.

use std::sync::Arc;

use super::connection_abilities::ConnectionAbilities;
use crate::clock::Clock;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::gate::{CallGate, Gate};
use crate::resolver::shared_trace;
use crate::runtime::{Call, ConnectionFrame, Session};
use crate::store::Store;

#[derive(Clone, Debug)]
pub struct CallOpener {
    store: Store,
    gate: Arc<Gate>,
    clock: Clock,
}

impl CallOpener {
    pub const fn new(store: Store, gate: Arc<Gate>, clock: Clock) -> Self {
        Self { store, gate, clock }
    }

    /// A call without items.
    pub fn without_items(&self, route: &Route, session: Option<Session>) -> (Call, CallGate) {
        self.open(route, 0, 1, None, session)
    }

    /// A call with items. `estimate` requests are taken from what admission reserved.
    pub fn with_items(
        &self,
        route: &Route,
        call: i64,
        batch: &[Work],
        estimate: u32,
        session: Option<Session>,
    ) -> (Call, CallGate) {
        let trace = shared_trace(batch.iter().map(|item| item.row.traceparent.as_deref()));
        self.open(route, call, estimate, trace, session)
    }

    fn open(
        &self,
        route: &Route,
        call: i64,
        estimate: u32,
        traceparent: Option<&str>,
        session: Option<Session>,
    ) -> (Call, CallGate) {
        let deadline = self.clock.mono().plus_ms(route.channel.call_timeout_ms);
        let destination = Arc::clone(&route.destination);
        let gate = self.gate.open_call(destination, call, deadline, estimate);
        if let Some(traceparent) = traceparent {
            gate.trace(traceparent);
        }
        let call = Call {
            abilities: Arc::new(ConnectionAbilities {
                connection: route.connection,
                gate: gate.clone(),
                store: self.store.clone(),
            }),
            connection: ConnectionFrame {
                subscription: Arc::from(route.document.subscription.as_str()),
                channel: Arc::from(route.document.channel.as_str()),
                settings_json: Arc::from(route.document.settings.to_string()),
                deadline,
                dry_run: false,
                traceparent: traceparent.map(str::to_owned),
            },
            session,
        };
        (call, gate)
    }
}
