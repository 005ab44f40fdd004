//! Sessions: what a connector's `authenticate` made, kept encrypted, made once for all calls of a
//! connection.
//!
//! A session belongs to what it was made of: connector, settings, auth document and the secrets
//! that were entered. When one of these is another one, so is the session. Secrets that the
//! connector itself deposits do not end it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use egression_core::domain::ids::ConnectionId;
use egression_core::domain::outcome::CallError;
use egression_core::time::Wall;

use crate::clock::Clock;
use crate::delivery::deliver::Deliverer;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::redact_outcome;
use crate::delivery::work::Route;
use crate::documents::model::AuthDocument;
use crate::runtime::call::Session;
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
    slots: Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// One connection's session. The lock is held while one is made: everybody else waits for that one.
#[derive(Debug, Default)]
struct Slot {
    read: bool,
    /// A digest of what it was made of.
    origin: String,
    session: Option<Session>,
    /// A call with it succeeded, or an earlier run left it.
    proven: bool,
}

impl Sessions {
    pub fn new(store: Store, vault: Arc<Vault>, clock: Clock) -> Self {
        Self {
            store,
            vault,
            clock,
            slots: Mutex::default(),
        }
    }

    /// Forgets connections that are gone.
    pub fn keep_only(&self, here: &HashSet<ConnectionId>) {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|connection, _| here.contains(connection));
    }

    fn slot(&self, connection: ConnectionId) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(connection).or_default())
    }

    /// A digest of what a session is made of now.
    async fn origin(&self, route: &Route) -> String {
        let document = &route.document;
        let mut entries = Vec::new();
        for secret in document.auth.iter().flat_map(AuthDocument::secrets) {
            // What cannot be read cannot be used either: `authenticate` says why.
            let entry = self
                .vault
                .entry(&route.destination.owner, secret.name)
                .await
                .ok()
                .flatten();
            entries.push((secret.name, entry));
        }
        let parts = serde_json::json!([
            route.connector.digest(),
            document.settings,
            document.auth,
            entries
        ])
        .to_string();
        hex::encode(digest(&SHA256, parts.as_bytes()))
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
                    .map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = kept {
            // It serves this process all the same; after a restart another one is made.
            tracing::warn!(%error, %connection, "a session could not be kept");
        }
    }

    fn is_good(&self, session: &Session) -> bool {
        session
            .expires_at
            .is_none_or(|at: Wall| at.since_ms(self.clock.wall()) > RENEW_BEFORE_MS)
    }
}

fn aad(connection: ConnectionId) -> String {
    format!("session:{connection}")
}

impl Deliverer {
    /// The session for a call; none where the connection's scheme needs none. `stale` is the
    /// session that was found expired. The login, if there is one, goes into the trail.
    pub async fn session(
        &self,
        route: &Route,
        stale: Option<&Session>,
        trail: &mut CallLog,
    ) -> Result<Option<Session>, CallError> {
        if !matches!(route.document.auth, Some(AuthDocument::Connector { .. })) {
            return Ok(None);
        }
        let slot = self.sessions.slot(route.connection);
        let mut slot = slot.lock().await;
        let origin = self.sessions.origin(route).await;
        if !slot.read || slot.origin != origin {
            slot.session = self.sessions.read(route.connection, &origin).await;
            slot.origin.clone_from(&origin);
            slot.proven = slot.session.is_some();
            slot.read = true;
        }
        let current = slot.session.clone();
        if let Some(session) = current
            .as_ref()
            .filter(|s| Some(*s) != stale && self.sessions.is_good(s))
        {
            return Ok(Some(session.clone()));
        }
        let (call, gate) = self.plain_call(route, None);
        let end = route.connector.authenticate(call, current).await;
        trail.note(&gate, end.logs);
        let made = end
            .result
            .map_err(|error| redact_outcome::error(&gate, error))?;
        let session = Session {
            account: made.account.map(|text| gate.redact(&text)),
            ..made
        };
        self.sessions
            .keep(route.connection, &origin, &session)
            .await;
        slot.session = Some(session.clone());
        slot.proven = false;
        Ok(Some(session))
    }

    /// A call with this session succeeded.
    pub async fn session_works(&self, route: &Route, session: &Session) {
        let slot = self.sessions.slot(route.connection);
        let mut slot = slot.lock().await;
        slot.proven |= slot.session.as_ref() == Some(session);
    }

    /// Whether no call has succeeded with this session yet: then another one would be refused as
    /// well.
    pub async fn is_session_fresh(&self, route: &Route, session: &Session) -> bool {
        let slot = self.sessions.slot(route.connection);
        let slot = slot.lock().await;
        slot.session.as_ref() == Some(session) && !slot.proven
    }

    /// A session was refused: the next call makes another one, unless somebody did already.
    pub async fn drop_session(&self, route: &Route, refused: Option<&Session>) {
        let slot = self.sessions.slot(route.connection);
        let mut slot = slot.lock().await;
        if refused.is_none() || slot.session.as_ref() == refused {
            slot.session = None;
            if let Err(error) = self.store.drop_session(route.connection).await {
                tracing::warn!(%error, connection = %route.connection, "a refused session could not be dropped");
            }
        }
    }
}
