//! Sessions: what a connector's `authenticate` made, stored encrypted, and made once for all calls
//! of a connection.
//!
//! A session belongs to what it was made from: connector, settings, auth document and the secrets
//! that were entered. If one of these changes, a new session is made. Secrets that the connector
//! itself deposits do not end it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use egression_core::domain::ids::ConnectionId;
use egression_core::domain::outcome::CallError;
use egression_core::time::Wall;
use parking_lot::Mutex;

use super::call_log::CallLog;
use super::guest_call::CallOpener;
use super::redact_outcome;
use crate::clock::Clock;
use crate::delivery::route::Route;
use crate::documents::model::AuthDocument;
use crate::runtime::Session;
use crate::store::Store;
use crate::vault::Vault;

/// A session that expires within this time is renewed first.
const RENEW_BEFORE_MS: i64 = 5000;

/// The sessions of all connections.
#[derive(Debug)]
pub struct Sessions {
    store: Store,
    vault: Arc<Vault>,
    clock: Clock,
    calls: CallOpener,
    slots: Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// One connection's session. The lock is held while a session is made: other calls wait for that
/// session.
#[derive(Debug, Default)]
struct Slot {
    read: bool,
    /// A digest of what the session was made from.
    origin: String,
    session: Option<Session>,
    /// A call with it succeeded, or an earlier run of the host left it.
    proven: bool,
}

impl Sessions {
    pub fn new(store: Store, vault: Arc<Vault>, clock: Clock, calls: CallOpener) -> Self {
        Self {
            store,
            vault,
            clock,
            calls,
            slots: Mutex::default(),
        }
    }

    /// Forgets connections that are gone.
    pub fn keep_only(&self, connections: &HashSet<ConnectionId>) {
        self.slots
            .lock()
            .retain(|connection, _| connections.contains(connection));
    }

    /// The session for a call; none if the connection's scheme needs none. `stale` is the session
    /// that was found expired. A login that this makes is recorded in `log`.
    pub async fn get(
        &self,
        route: &Route,
        stale: Option<&Session>,
        log: &mut CallLog,
    ) -> Result<Option<Session>, CallError> {
        if !matches!(route.document.auth, Some(AuthDocument::Connector { .. })) {
            return Ok(None);
        }
        let slot = self.slot(route.connection);
        let mut slot = slot.lock().await;
        let origin = self.origin(route).await;
        if !slot.read || slot.origin != origin {
            slot.session = self.read(route.connection, &origin).await;
            slot.origin.clone_from(&origin);
            slot.proven = slot.session.is_some();
            slot.read = true;
        }
        let current = slot.session.clone();
        if let Some(session) = &current
            && Some(session) != stale
            && self.is_valid(session)
        {
            return Ok(current);
        }
        let (call, gate) = self.calls.without_items(route, None);
        let end = route.connector.authenticate(call, current).await;
        log.record(&gate, end.logs);
        let made = end
            .result
            .map_err(|error| redact_outcome::error(&gate, error))?;
        let session = Session {
            account: made.account.map(|text| gate.redact(&text)),
            ..made
        };
        self.keep(route.connection, &origin, &session).await;
        slot.session = Some(session.clone());
        slot.proven = false;
        Ok(Some(session))
    }

    /// A call with this session succeeded.
    pub async fn confirm(&self, route: &Route, session: Option<&Session>) {
        if session.is_some() {
            let slot = self.slot(route.connection);
            let mut slot = slot.lock().await;
            slot.proven |= slot.session.as_ref() == session;
        }
    }

    /// No call has succeeded with this session yet, so a new one would be refused, too.
    pub async fn is_fresh(&self, route: &Route, session: &Session) -> bool {
        let slot = self.slot(route.connection);
        let slot = slot.lock().await;
        slot.session.as_ref() == Some(session) && !slot.proven
    }

    /// A session was refused: the next call makes a new one, unless another call already did.
    pub async fn discard(&self, route: &Route, refused: Option<&Session>) {
        let slot = self.slot(route.connection);
        let mut slot = slot.lock().await;
        if refused.is_none() || slot.session.as_ref() == refused {
            slot.session = None;
            if let Err(error) = self.store.drop_session(route.connection).await {
                tracing::warn!(%error, "cannot drop a refused session");
            }
        }
    }

    fn slot(&self, connection: ConnectionId) -> Arc<tokio::sync::Mutex<Slot>> {
        Arc::clone(self.slots.lock().entry(connection).or_default())
    }

    /// A digest of what a session is made from now.
    async fn origin(&self, route: &Route) -> String {
        let document = &route.document;
        let mut entries = Vec::new();
        for secret in document.auth.iter().flat_map(AuthDocument::secrets) {
            // A secret that cannot be read cannot be used either: `authenticate` says why.
            let owner = route.destination.owner;
            let entry = self.vault.entry(owner, secret.name).await.ok().flatten();
            entries.push((secret.name, entry));
        }
        let digest_of = serde_json::json!([
            route.connector.digest(),
            document.settings,
            document.auth,
            entries
        ]);
        hex::encode(digest(&SHA256, digest_of.to_string().as_bytes()))
    }

    async fn read(&self, connection: ConnectionId, origin: &str) -> Option<Session> {
        let (stored, ciphertext, expires_at, account) =
            self.store.session(connection).await.ok().flatten()?;
        if stored != origin {
            return None;
        }
        let data = self.vault.open_bytes(&aad(connection), &ciphertext).ok()?;
        Some(Session {
            data,
            expires_at,
            account,
        })
    }

    async fn keep(&self, connection: ConnectionId, origin: &str, session: &Session) {
        let kept = match self.vault.seal_bytes(&aad(connection), &session.data) {
            Ok(ciphertext) => {
                let account = session.account.as_deref();
                self.store
                    .put_session(connection, origin, ciphertext, session.expires_at, account)
                    .await
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = kept {
            // This process can use it; the next one makes a new one.
            tracing::warn!(%error, "cannot store a session");
        }
    }

    fn is_valid(&self, session: &Session) -> bool {
        session
            .expires_at
            .is_none_or(|at: Wall| at.since_ms(self.clock.wall()) > RENEW_BEFORE_MS)
    }
}

fn aad(connection: ConnectionId) -> String {
    format!("session:{connection}")
}
