//! The gate against real sockets on the loopback interface.

#![allow(clippy::unwrap_used)]

mod addresses;
mod bounds;
mod certificates;
mod costs;
mod credentials;
mod headroom;
mod kept;
mod limits;
mod names;
mod restarts;
mod sending;
mod server;
mod tls;
mod tokens;

use std::sync::Arc;

use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, Owner};
use egression_core::scheduler::limits::{LimitKey, LimitKind};
use secrecy::SecretString;

use super::credentials::placeholders::{ACCESS_TOKEN, BEARER_TOKEN, CLIENT_SECRET};
use super::exchange::{BodyPlaceholders, OutgoingRequest, RequestAuth};
use super::*;
use crate::clock::Clock;
use crate::documents::model::AuthDocument;
use crate::store::Store;
use crate::vault::{MasterKey, SecretInput, Vault};

const SLOTS: LimitKind = LimitKind::Concurrency { max: 8 };

const OWNER: Owner = Owner::Connection(ConnectionId(7));
const OTHER: Owner = Owner::Connection(ConnectionId(8));
/// Long enough for every test on a slow machine.
const LONG_MS: u64 = 60_000;

/// A gate's surroundings, which outlive it.
#[derive(Clone)]
struct House {
    _directory: Arc<tempfile::TempDir>,
    store: Store,
    clock: Clock,
    settings: GateSettings,
}

impl House {
    async fn new() -> Self {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::system());
        Self {
            store: Store::open(directory.path(), clock.clone()).await.unwrap(),
            _directory: Arc::new(directory),
            clock,
            settings: GateSettings::default(),
        }
    }

    fn vault(&self) -> Vault {
        let key = MasterKey::from_bytes([9; 32]);
        Vault::new(&key, self.store.clone(), self.clock.clone())
    }

    async fn keep(&self, name: &str, value: &str, hosts: &[&str]) {
        let hosts = hosts.iter().map(|&h| h.to_owned()).collect();
        let secret = SecretInput::new(SecretString::from(value), hosts);
        self.vault().put(OWNER, name, secret).await.unwrap();
    }

    async fn gate(&self, destinations: Vec<Destination>) -> Arc<Gate> {
        let gate = Gate::start(
            self.settings.clone(),
            self.store.clone(),
            self.vault(),
            self.clock.clone(),
        )
        .await
        .unwrap();
        gate.configure(destinations);
        gate
    }

    async fn call(&self, destination: Destination) -> CallGate {
        let owner = destination.owner;
        let gate = self.gate(vec![destination]).await;
        open(&gate, owner)
    }
}

fn open(gate: &Arc<Gate>, owner: Owner) -> CallGate {
    gate.open_call(
        gate.destination(owner).unwrap(),
        1,
        gate.context.clock.mono().plus_ms(LONG_MS),
        1,
    )
}

/// A destination that may reach these on 127.0.0.1.
fn destination(grants: &[&str]) -> Destination {
    Destination {
        owner: OWNER,
        channel: Some("shop".into()),
        limits: Vec::new(),
        own_key: LimitKey::new(OWNER.to_string()),
        grants: grants.iter().map(|g| g.parse().unwrap()).collect(),
        allow_addresses: vec!["127.0.0.1/32".parse().unwrap()],
        auth: None,
        request_timeout_ms: 0,
        max_response_bytes: 0,
        max_retry_after_ms: 3_600_000,
        passes_closures: false,
    }
}

fn limited(mut destination: Destination, kinds: &[LimitKind]) -> Destination {
    destination.limits = kinds
        .iter()
        .enumerate()
        .map(|(i, &kind)| BoundLimit {
            key: LimitKey::new(format!("limit:{i}")),
            kind,
            name: Some(format!("bucket-{i}")),
            counts: None,
            operations: Vec::new(),
        })
        .collect();
    destination
}

fn with_auth(mut destination: Destination, auth: serde_json::Value) -> Destination {
    destination.auth = Some(serde_json::from_value::<AuthDocument>(auth).unwrap());
    destination
}

fn get(url: &str) -> OutgoingRequest {
    OutgoingRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        body_placeholders: BodyPlaceholders::None,
        reads_only: true,
        auth: RequestAuth::Connection,
        operation: None,
        costs: Vec::new(),
        timeout_ms: None,
        max_response_bytes: None,
    }
}

fn post(url: &str, body: &str) -> OutgoingRequest {
    OutgoingRequest {
        method: "POST".to_owned(),
        body: Some(Bytes::from(body.to_owned())),
        reads_only: false,
        ..get(url)
    }
}
