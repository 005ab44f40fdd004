//! A connector that is ready to be called.

use std::sync::Arc;

use super::Runtime;
use super::abilities::NoAbilities;
use super::asks::{Ask, Authenticate, Check, Deliver, MigrateSettings, Poll};
use super::call::{Call, CallEnd, DeliveryEnd, Findings, Item, Pending, Session, Verdict};
use super::description::Description;
use super::run::{Frame, run};
use super::slots::Tenant;
use super::v0_1::Contract;
use crate::telemetry::metrics;

/// One version of a connector, compiled and checked. Calls that run keep it alive.
pub struct Connector {
    digest: Arc<str>,
    /// Its name, as a label of metrics.
    name: Arc<str>,
    description: Arc<Description>,
    contract: Arc<Contract>,
    runtime: Arc<Runtime>,
}

impl Connector {
    pub(super) fn new(
        runtime: Arc<Runtime>,
        digest: Arc<str>,
        contract: Arc<Contract>,
        description: Description,
    ) -> Self {
        Self {
            digest,
            name: description.name.as_str().into(),
            description: Arc::new(description),
            contract,
            runtime,
        }
    }

    /// SHA-256 of the component, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it says about itself.
    #[must_use]
    pub const fn description(&self) -> &Arc<Description> {
        &self.description
    }

    /// Delivers items. The guest runs to its end even if the caller goes away; the end comes at the
    /// latest `grace_ms` after the deadline.
    pub async fn deliver(&self, call: Call, items: Vec<Item>) -> DeliveryEnd {
        let Call {
            abilities,
            connection,
            session,
        } = call;
        let frame = self.frame(&connection, abilities);
        metrics::items_delivered(&self.name, items.len());
        self.run(
            frame,
            Deliver {
                frame: connection,
                session,
                items,
                reconcile: false,
            },
        )
        .await
    }

    /// Asks whether items whose answer was lost did arrive. [`CallError::Unsupported`] if the
    /// connector cannot tell.
    ///
    /// [`CallError::Unsupported`]: egression_core::domain::outcome::CallError::Unsupported
    pub async fn reconcile(&self, call: Call, items: Vec<Item>) -> DeliveryEnd {
        let Call {
            abilities,
            connection,
            session,
        } = call;
        let frame = self.frame(&connection, abilities);
        self.run(
            frame,
            Deliver {
                frame: connection,
                session,
                items,
                reconcile: true,
            },
        )
        .await
    }

    /// Asks for decisions that came as accepted. Item indices are unique over all tokens of the
    /// call.
    pub async fn poll(&self, call: Call, tokens: Vec<Pending>) -> CallEnd<Vec<Verdict>> {
        let Call {
            abilities,
            connection,
            session,
        } = call;
        let frame = self.frame(&connection, abilities);
        self.run(
            frame,
            Poll {
                frame: connection,
                session,
                tokens,
            },
        )
        .await
    }

    /// Makes a session. `previous`: the one that expired.
    pub async fn authenticate(&self, call: Call, previous: Option<Session>) -> CallEnd<Session> {
        let frame = self.frame(&call.connection, call.abilities);
        self.run(
            frame,
            Authenticate {
                frame: call.connection,
                previous,
            },
        )
        .await
    }

    /// Looks whether the connection works.
    pub async fn check(&self, call: Call) -> CallEnd<Findings> {
        let frame = self.frame(&call.connection, call.abilities);
        self.run(
            frame,
            Check {
                frame: call.connection,
                session: call.session,
            },
        )
        .await
    }

    /// Brings settings of an older version into the form of this one.
    pub async fn migrate_settings(
        &self,
        from_version: &str,
        settings_json: &str,
    ) -> CallEnd<String> {
        let frame = Frame {
            tenant: Tenant {
                digest: Arc::clone(&self.digest),
                subscription: Arc::from(""),
                channel: Arc::from(""),
            },
            abilities: Arc::new(NoAbilities),
            deadline: self
                .runtime
                .clock
                .mono()
                .plus_ms(self.runtime.settings.describe_ms),
            reusable: false,
        };
        self.run(
            frame,
            MigrateSettings {
                from_version: from_version.to_owned(),
                settings_json: settings_json.to_owned(),
            },
        )
        .await
    }

    fn frame(
        &self,
        connection: &super::call::ConnectionFrame,
        abilities: Arc<dyn super::abilities::Abilities>,
    ) -> Frame {
        let tenant = Tenant {
            digest: Arc::clone(&self.digest),
            subscription: Arc::clone(&connection.subscription),
            channel: Arc::clone(&connection.channel),
        };
        Frame {
            tenant,
            abilities,
            deadline: connection.deadline,
            reusable: self.description.reusable,
        }
    }

    async fn run<A: Ask>(&self, frame: Frame, ask: A) -> CallEnd<A::Answer> {
        let (began, call) = (self.runtime.clock.mono(), ask.name());
        let end = run(&self.runtime, &self.contract, frame, ask).await;
        metrics::connector_called(
            &self.name,
            call,
            &end.result,
            self.runtime.clock.mono().since_us(began),
        );
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
        self.runtime.slots.forget(&self.digest);
    }
}
