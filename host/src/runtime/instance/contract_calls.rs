//! The calls that a connector answers, one type per function of the contract, so that one function
//! runs them all.

use std::future::Future;

use egression_core::domain::outcome::Outcome;
use wasmtime::Store;

use super::guest_state::GuestState;
use crate::runtime::connector_call::{ConnectionFrame, Findings, Item, Pending, Session, Verdict};
use crate::runtime::registry::connector_description::Description;
use crate::runtime::v0_1::{Answered, Guest};

/// One call of one instance.
pub trait GuestCall: Send + 'static {
    type Answer: Send + 'static;

    /// The function of the contract, as a metric label.
    fn name(&self) -> &'static str;

    /// The item indices that the guest may answer.
    fn item_indices(&self) -> Vec<u32> {
        Vec::new()
    }

    fn invoke(
        self,
        guest: &Guest,
        store: &mut Store<GuestState>,
    ) -> impl Future<Output = Answered<Self::Answer>> + Send;
}

/// Calls nothing: checks that an instance can be created.
pub struct Trial;

impl GuestCall for Trial {
    type Answer = ();

    fn name(&self) -> &'static str {
        "trial"
    }

    async fn invoke(self, _guest: &Guest, _store: &mut Store<GuestState>) -> Answered<()> {
        Ok(Ok(()))
    }
}

/// `describe`. The inner error lists the faults of the description.
pub struct Describe {
    pub max_bytes: usize,
}

impl GuestCall for Describe {
    type Answer = Result<Description, Vec<String>>;

    fn name(&self) -> &'static str {
        "describe"
    }

    async fn invoke(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Self::Answer> {
        guest.describe(store, self.max_bytes).await.map(Ok)
    }
}

pub struct Authenticate {
    pub frame: ConnectionFrame,
    pub previous: Option<Session>,
}

impl GuestCall for Authenticate {
    type Answer = Session;

    fn name(&self) -> &'static str {
        "authenticate"
    }

    async fn invoke(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Session> {
        guest.authenticate(store, &self.frame, self.previous).await
    }
}

pub struct Check {
    pub frame: ConnectionFrame,
    pub session: Option<Session>,
}

impl GuestCall for Check {
    type Answer = Findings;

    fn name(&self) -> &'static str {
        "check"
    }

    async fn invoke(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Findings> {
        guest.check(store, &self.frame, self.session).await
    }
}

/// `deliver`, or `reconcile` of the optional interface.
pub struct Deliver {
    pub frame: ConnectionFrame,
    pub session: Option<Session>,
    pub items: Vec<Item>,
    pub reconcile: bool,
}

impl GuestCall for Deliver {
    type Answer = Vec<(u32, Outcome)>;

    fn name(&self) -> &'static str {
        if self.reconcile {
            "reconcile"
        } else {
            "deliver"
        }
    }

    fn item_indices(&self) -> Vec<u32> {
        self.items.iter().map(|item| item.index).collect()
    }

    async fn invoke(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Self::Answer> {
        let Self {
            frame,
            session,
            items,
            reconcile,
        } = self;
        let answer = if reconcile {
            guest.reconcile(store, &frame, session, items).await?
        } else {
            guest.deliver(store, &frame, session, items).await?
        };
        Ok(answer.map(|returned| new_answers(store.data_mut(), returned)))
    }
}

pub struct Poll {
    pub frame: ConnectionFrame,
    pub session: Option<Session>,
    pub tokens: Vec<Pending>,
}

impl GuestCall for Poll {
    type Answer = Vec<Verdict>;

    fn name(&self) -> &'static str {
        "poll"
    }

    fn item_indices(&self) -> Vec<u32> {
        self.tokens
            .iter()
            .flat_map(|pending| pending.items.iter().map(|item| item.index))
            .collect()
    }

    async fn invoke(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Vec<Verdict>> {
        let answer = guest
            .poll(store, &self.frame, self.session, self.tokens)
            .await?;
        Ok(answer.map(|verdicts| {
            verdicts
                .into_iter()
                .map(|verdict| Verdict {
                    settled: new_answers(store.data_mut(), verdict.settled),
                    ..verdict
                })
                .collect()
        }))
    }
}

pub struct MigrateSettings {
    pub from_version: String,
    pub settings_json: String,
}

impl GuestCall for MigrateSettings {
    type Answer = String;

    fn name(&self) -> &'static str {
        "migrate_settings"
    }

    async fn invoke(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<String> {
        guest
            .migrate_settings(store, &self.from_version, &self.settings_json)
            .await
    }
}

/// The returned outcomes of items that had none before.
fn new_answers(state: &mut GuestState, returned: Vec<(u32, Outcome)>) -> Vec<(u32, Outcome)> {
    let before = state.reported.count();
    state.report(returned);
    state.reported.split_off(before)
}
