//! The things that a connector can be asked, one type each, so that one function runs them all.

use std::future::Future;

use egression_core::domain::outcome::Outcome;
use wasmtime::Store;

use super::call::{ConnectionFrame, Findings, Item, Pending, Session, Verdict};
use super::description::Description;
use super::guest::GuestState;
use super::v0_1::{Answered, Guest};

/// Something that one instance can be asked once.
pub(super) trait Ask: Send + 'static {
    type Answer: Send + 'static;

    /// The function of the contract, as a label of metrics.
    fn name(&self) -> &'static str;

    /// The item indices that may be answered.
    fn asked(&self) -> Vec<u32> {
        Vec::new()
    }

    fn ask(
        self,
        guest: &Guest,
        store: &mut Store<GuestState>,
    ) -> impl Future<Output = Answered<Self::Answer>> + Send;
}

/// Nothing: whether an instance can be made at all.
pub(super) struct Trial;

impl Ask for Trial {
    type Answer = ();

    fn name(&self) -> &'static str {
        "trial"
    }

    async fn ask(self, _guest: &Guest, _store: &mut Store<GuestState>) -> Answered<()> {
        Ok(Ok(()))
    }
}

/// `describe`. The inner result says what is wrong with the description.
pub(super) struct Describe;

impl Ask for Describe {
    type Answer = Result<Description, Vec<String>>;

    fn name(&self) -> &'static str {
        "describe"
    }

    async fn ask(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Self::Answer> {
        guest.describe(store).await.map(Ok)
    }
}

pub(super) struct Authenticate {
    pub(super) frame: ConnectionFrame,
    pub(super) previous: Option<Session>,
}

impl Ask for Authenticate {
    type Answer = Session;

    fn name(&self) -> &'static str {
        "authenticate"
    }

    async fn ask(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Session> {
        guest.authenticate(store, &self.frame, self.previous).await
    }
}

pub(super) struct Check {
    pub(super) frame: ConnectionFrame,
    pub(super) session: Option<Session>,
}

impl Ask for Check {
    type Answer = Findings;

    fn name(&self) -> &'static str {
        "check"
    }

    async fn ask(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Findings> {
        guest.check(store, &self.frame, self.session).await
    }
}

/// `deliver`, or `reconcile` of the optional interface.
pub(super) struct Deliver {
    pub(super) frame: ConnectionFrame,
    pub(super) session: Option<Session>,
    pub(super) items: Vec<Item>,
    pub(super) reconcile: bool,
}

impl Ask for Deliver {
    type Answer = Vec<(u32, Outcome)>;

    fn name(&self) -> &'static str {
        if self.reconcile {
            "reconcile"
        } else {
            "deliver"
        }
    }

    fn asked(&self) -> Vec<u32> {
        self.items.iter().map(|item| item.index).collect()
    }

    async fn ask(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Self::Answer> {
        let answer = if self.reconcile {
            guest
                .reconcile(store, &self.frame, self.session, self.items)
                .await?
        } else {
            guest
                .deliver(store, &self.frame, self.session, self.items)
                .await?
        };
        Ok(answer.map(|returned| new_answers(store.data_mut(), returned)))
    }
}

pub(super) struct Poll {
    pub(super) frame: ConnectionFrame,
    pub(super) session: Option<Session>,
    pub(super) tokens: Vec<Pending>,
}

impl Ask for Poll {
    type Answer = Vec<Verdict>;

    fn name(&self) -> &'static str {
        "poll"
    }

    fn asked(&self) -> Vec<u32> {
        self.tokens
            .iter()
            .flat_map(|pending| pending.items.iter().map(|item| item.index))
            .collect()
    }

    async fn ask(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<Vec<Verdict>> {
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

pub(super) struct MigrateSettings {
    pub(super) from_version: String,
    pub(super) settings_json: String,
}

impl Ask for MigrateSettings {
    type Answer = String;

    fn name(&self) -> &'static str {
        "migrate_settings"
    }

    async fn ask(self, guest: &Guest, store: &mut Store<GuestState>) -> Answered<String> {
        guest
            .migrate_settings(store, &self.from_version, &self.settings_json)
            .await
    }
}

/// The returned outcomes that answer something for the first time.
fn new_answers(state: &mut GuestState, returned: Vec<(u32, Outcome)>) -> Vec<(u32, Outcome)> {
    let before = state.settled.count();
    state.settle(returned);
    state.settled.split_off(before)
}
