//! A connector that is ready to be called.

use std::sync::Arc;

use crate::runtime::Runtime;
use crate::runtime::connector_call::{
    Call, CallEnd, DeliveryEnd, Findings, Item, Pending, Session, Verdict,
};
use crate::runtime::instance::call_frame::CallFrame;
use crate::runtime::instance::contract_calls::{
    Authenticate, Check, Deliver, GuestCall, MigrateSettings, Poll,
};
use crate::runtime::instance::cpu_budget::Meter;
use crate::runtime::instance::instance_pool::Tenant;
use crate::runtime::instance::run_call::run_call;
use crate::runtime::registry::connector_description::Description;
use crate::runtime::v0_1::Contract;
use crate::telemetry::metrics;

/// One version of a connector, compiled and checked. Running calls keep it alive.
pub struct Connector {
    digest: Arc<str>,
    /// The connector's name, as a metric label.
    name: Arc<str>,
    description: Arc<Description>,
    contract: Arc<Contract>,
    runtime: Arc<Runtime>,
}

impl Connector {
    pub fn new(
        runtime: Arc<Runtime>,
        digest: Arc<str>,
        contract: Arc<Contract>,
        description: Arc<Description>,
    ) -> Self {
        Self {
            digest,
            name: description.name.as_str().into(),
            description,
            contract,
            runtime,
        }
    }

    /// SHA-256 of the component, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub const fn description(&self) -> &Arc<Description> {
        &self.description
    }

    /// Delivers items. The guest runs to its end even if the caller stops waiting. The end comes at
    /// most `grace_ms` after the deadline.
    pub async fn deliver(&self, call: Call, items: Vec<Item>) -> DeliveryEnd {
        metrics::items_delivered(&self.name, items.len());
        self.call_with_items(call, items, false).await
    }

    /// Asks whether items whose answer was lost arrived. [`CallError::Unsupported`] if the
    /// connector does not export `reconciliation`.
    ///
    /// [`CallError::Unsupported`]: egression_core::domain::outcome::CallError::Unsupported
    pub async fn reconcile(&self, call: Call, items: Vec<Item>) -> DeliveryEnd {
        self.call_with_items(call, items, true).await
    }

    async fn call_with_items(&self, call: Call, items: Vec<Item>, reconcile: bool) -> DeliveryEnd {
        let frame = self.frame(&call);
        let deliver = Deliver {
            frame: call.connection,
            session: call.session,
            items,
            reconcile,
        };
        self.run(frame, deliver).await
    }

    /// Asks for the decisions about accepted items. Item indices are unique over all tokens of the
    /// call.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the host does not poll accepted items yet")
    )]
    pub async fn poll(&self, call: Call, tokens: Vec<Pending>) -> CallEnd<Vec<Verdict>> {
        let frame = self.frame(&call);
        let poll = Poll {
            frame: call.connection,
            session: call.session,
            tokens,
        };
        self.run(frame, poll).await
    }

    /// Creates a session. `previous` is the session that expired.
    pub async fn authenticate(&self, call: Call, previous: Option<Session>) -> CallEnd<Session> {
        let frame = self.frame(&call);
        let authenticate = Authenticate {
            frame: call.connection,
            previous,
        };
        self.run(frame, authenticate).await
    }

    /// Checks whether the connection works.
    pub async fn check(&self, call: Call) -> CallEnd<Findings> {
        let frame = self.frame(&call);
        let check = Check {
            frame: call.connection,
            session: call.session,
        };
        self.run(frame, check).await
    }

    /// Converts settings of an older version to settings of this version.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the host does not migrate settings yet")
    )]
    pub async fn migrate_settings(
        &self,
        from_version: &str,
        settings_json: &str,
    ) -> CallEnd<String> {
        let migrate = MigrateSettings {
            from_version: from_version.to_owned(),
            settings_json: settings_json.to_owned(),
        };
        let frame = CallFrame::without_connection(&self.runtime, &self.digest);
        self.run(frame, migrate).await
    }

    fn frame(&self, call: &Call) -> CallFrame {
        CallFrame {
            tenant: Tenant {
                digest: Arc::clone(&self.digest),
                subscription: Arc::clone(&call.connection.subscription),
                channel: Arc::clone(&call.connection.channel),
            },
            abilities: Arc::clone(&call.abilities),
            deadline: call.connection.deadline,
            reusable: self.description.reusable,
            meter: Meter::new(self.runtime.clock.clone()),
        }
    }

    async fn run<C: GuestCall>(&self, frame: CallFrame, call: C) -> CallEnd<C::Answer> {
        let (began, name) = (self.runtime.clock.mono(), call.name());
        let end = run_call(&self.runtime, &self.contract, frame, call).await;
        let duration_us = self.runtime.clock.mono().since_us(began);
        metrics::connector_called(&self.name, name, &end.result, duration_us);
        end
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.description.name)
            .field("version", &self.description.version)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.runtime.pool.forget(&self.digest);
    }
}
