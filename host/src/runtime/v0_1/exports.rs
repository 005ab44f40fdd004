//! The functions of a guest that the host calls. The host looks for the optional interfaces by name
//! when it loads a component.

use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::bindings::egression::connector::model as wit;
use super::bindings::exports::egression::connector::{
    connector, reconciliation, settings_migration, settlement,
};
use super::{incoming, manifest, outgoing};
use crate::runtime::connector_call::{ConnectionFrame, Findings, Item, Pending, Session, Verdict};
use crate::runtime::instance::guest_state::GuestState;
use crate::runtime::registry::connector_description::Description;

/// The result of a call: the outer error is a trap, the inner error is the guest's answer.
pub type Answered<T> = wasmtime::Result<Result<T, CallError>>;

/// A component that exports a connector.
pub struct Contract {
    pre: InstancePre<GuestState>,
    connector: connector::GuestIndices,
    settlement: Option<settlement::GuestIndices>,
    reconciliation: Option<reconciliation::GuestIndices>,
    migration: Option<settings_migration::GuestIndices>,
}

pub struct Guest {
    connector: connector::Guest,
    settlement: Option<settlement::Guest>,
    reconciliation: Option<reconciliation::Guest>,
    migration: Option<settings_migration::Guest>,
    optional: Vec<String>,
}

impl Contract {
    pub fn new(pre: InstancePre<GuestState>) -> wasmtime::Result<Self> {
        Ok(Self {
            connector: connector::GuestIndices::new(&pre)?,
            settlement: settlement::GuestIndices::new(&pre).ok(),
            reconciliation: reconciliation::GuestIndices::new(&pre).ok(),
            migration: settings_migration::GuestIndices::new(&pre).ok(),
            pre,
        })
    }

    /// The names of the exported optional interfaces.
    fn optional(&self) -> Vec<String> {
        let found = [
            ("settlement", self.settlement.is_some()),
            ("reconciliation", self.reconciliation.is_some()),
            ("settings-migration", self.migration.is_some()),
        ];
        found
            .into_iter()
            .filter(|(_, exported)| *exported)
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// Creates an instance. Checks the types of each export.
    pub async fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Guest> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        Ok(Guest {
            connector: self.connector.load(&mut *store, &instance)?,
            settlement: (self.settlement.as_ref())
                .map(|found| found.load(&mut *store, &instance))
                .transpose()?,
            reconciliation: (self.reconciliation.as_ref())
                .map(|found| found.load(&mut *store, &instance))
                .transpose()?,
            migration: (self.migration.as_ref())
                .map(|found| found.load(&mut *store, &instance))
                .transpose()?,
            optional: self.optional(),
        })
    }
}

impl Guest {
    pub async fn describe(
        &self,
        store: &mut Store<GuestState>,
        max_bytes: usize,
    ) -> wasmtime::Result<Result<Description, Vec<String>>> {
        let described = self.connector.call_describe(&mut *store).await?;
        Ok(manifest::description(
            described,
            self.optional.clone(),
            max_bytes,
        ))
    }

    pub async fn authenticate(
        &self,
        store: &mut Store<GuestState>,
        frame: &ConnectionFrame,
        previous: Option<Session>,
    ) -> Answered<Session> {
        let (connection, previous) = arguments(store, frame, previous);
        let answer = self
            .connector
            .call_authenticate(&mut *store, &connection, previous.as_ref())
            .await?;
        Ok(answer
            .map_err(incoming::call_error)
            .and_then(incoming::session))
    }

    pub async fn check(
        &self,
        store: &mut Store<GuestState>,
        frame: &ConnectionFrame,
        session: Option<Session>,
    ) -> Answered<Findings> {
        let (connection, session) = arguments(store, frame, session);
        let answer = self
            .connector
            .call_check(&mut *store, &connection, session.as_ref())
            .await?;
        Ok(answer.map(incoming::findings).map_err(incoming::call_error))
    }

    pub async fn deliver(
        &self,
        store: &mut Store<GuestState>,
        frame: &ConnectionFrame,
        session: Option<Session>,
        items: Vec<Item>,
    ) -> Answered<Vec<(u32, Outcome)>> {
        let (connection, session) = arguments(store, frame, session);
        let items = outgoing::items(items);
        let answer = self
            .connector
            .call_deliver(&mut *store, &connection, session.as_ref(), &items)
            .await?;
        Ok(answer.map(incoming::outcomes).map_err(incoming::call_error))
    }

    pub async fn poll(
        &self,
        store: &mut Store<GuestState>,
        frame: &ConnectionFrame,
        session: Option<Session>,
        tokens: Vec<Pending>,
    ) -> Answered<Vec<Verdict>> {
        let Some(settlement) = &self.settlement else {
            return Ok(Err(missing("settlement")));
        };
        let (connection, session) = arguments(store, frame, session);
        let tokens: Vec<settlement::Pending> = tokens.into_iter().map(outgoing::pending).collect();
        let answer = settlement
            .call_poll(&mut *store, &connection, session.as_ref(), &tokens)
            .await?;
        Ok(answer
            .map(|verdicts| verdicts.into_iter().map(incoming::verdict).collect())
            .map_err(incoming::call_error))
    }

    pub async fn reconcile(
        &self,
        store: &mut Store<GuestState>,
        frame: &ConnectionFrame,
        session: Option<Session>,
        items: Vec<Item>,
    ) -> Answered<Vec<(u32, Outcome)>> {
        let Some(reconciliation) = &self.reconciliation else {
            return Ok(Err(missing("reconciliation")));
        };
        let (connection, session) = arguments(store, frame, session);
        let items = outgoing::items(items);
        let answer = reconciliation
            .call_reconcile(&mut *store, &connection, session.as_ref(), &items)
            .await?;
        Ok(answer.map(incoming::outcomes).map_err(incoming::call_error))
    }

    pub async fn migrate_settings(
        &self,
        store: &mut Store<GuestState>,
        from_version: &str,
        settings: &str,
    ) -> Answered<String> {
        let Some(migration) = &self.migration else {
            return Ok(Err(missing("settings-migration")));
        };
        let answer = migration
            .call_migrate_settings(&mut *store, from_version, settings)
            .await?;
        Ok(answer.map_err(|why| CallError::SettingsInvalid(incoming::problem(why))))
    }
}

fn arguments(
    store: &Store<GuestState>,
    frame: &ConnectionFrame,
    session: Option<Session>,
) -> (wit::Connection, Option<wit::Session>) {
    let connection = outgoing::connection(frame, store.data().now());
    (connection, session.map(outgoing::session))
}

fn missing(interface: &str) -> CallError {
    CallError::Unsupported(Problem::new(
        "connector.no_such_export",
        format!("the connector does not export `{interface}`"),
    ))
}
