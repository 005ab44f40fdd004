//! The gate against real sockets on the loopback interface.

#![allow(clippy::unwrap_used)]

mod addresses;
mod bounds;
mod certificates;
mod credentials;
mod kept;
mod limits;
mod names;
mod sending;
mod server;
mod tls;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::ids::ConnectionId;
use egression_core::scheduler::limits::{LimitKey, LimitKind};
use secrecy::SecretString;

use super::exchange::{BodyPlaceholders, OutgoingRequest, RequestAuth};
use super::*;
use crate::documents::model::AuthDocument;
use crate::vault::MasterKey;
use crate::vault::memory::SecretsInMemory;

const OWNER: &str = "connection:7";
/// Long enough for every test on a slow machine.
const LONG_MS: u64 = 60_000;

/// The limiter's rows in memory, to be looked into.
#[derive(Clone, Default)]
struct LimitsInMemory {
    closed: Arc<Mutex<BTreeMap<String, Wall>>>,
    slices: Arc<Mutex<BTreeMap<(String, i64), SliceRow>>>,
    refuse_leases: Arc<Mutex<bool>>,
    closings: Arc<Mutex<usize>>,
    /// Told of each closing that is stored.
    stored: Arc<Notify>,
}

#[async_trait]
impl LimitFacts for LimitsInMemory {
    async fn closed_limits(&self, _: Wall) -> Result<Vec<(String, Wall)>, StoreError> {
        Ok(self
            .closed
            .lock()
            .unwrap()
            .iter()
            .map(|(key, until)| (key.clone(), *until))
            .collect())
    }

    async fn close_limit(&self, key: &str, until: Wall, _: &str) -> Result<(), StoreError> {
        let mut closed = self.closed.lock().unwrap();
        let end = closed.entry(key.to_owned()).or_insert(until);
        *end = until.max(*end);
        *self.closings.lock().unwrap() += 1;
        self.stored.notify_one();
        Ok(())
    }

    async fn lease_slice(
        &self,
        key: &str,
        slice: i64,
        units: u32,
        at: Wall,
    ) -> Result<(), StoreError> {
        if *self.refuse_leases.lock().unwrap() {
            return Err(StoreError::Full);
        }
        let row = (key.to_owned(), slice, units, at, None);
        assert!(
            self.slices
                .lock()
                .unwrap()
                .insert((key.to_owned(), slice), row)
                .is_none(),
            "a slice is leased once"
        );
        Ok(())
    }

    async fn close_slice(&self, key: &str, slice: i64, at: Wall) -> Result<(), StoreError> {
        if let Some(row) = self
            .slices
            .lock()
            .unwrap()
            .get_mut(&(key.to_owned(), slice))
        {
            row.4 = Some(at);
        }
        Ok(())
    }

    async fn slices(&self) -> Result<Vec<SliceRow>, StoreError> {
        Ok(self.slices.lock().unwrap().values().cloned().collect())
    }

    async fn drop_slices(&self, key: &str, before: Wall) -> Result<(), StoreError> {
        self.slices
            .lock()
            .unwrap()
            .retain(|_, row| row.0 != key || row.4.is_none_or(|at| at >= before));
        Ok(())
    }
}

/// A gate over rows that outlive it.
#[derive(Clone)]
struct House {
    limits: LimitsInMemory,
    secrets: SecretsInMemory,
    clock: Clock,
    settings: GateSettings,
}

impl House {
    fn new() -> Self {
        Self {
            limits: LimitsInMemory::default(),
            secrets: SecretsInMemory::default(),
            clock: Clock::system(),
            settings: GateSettings::default(),
        }
    }

    fn vault(&self) -> Vault {
        Vault::new(
            &MasterKey::from_bytes([9; 32]),
            self.secrets.clone(),
            self.clock.clone(),
        )
    }

    async fn keep(&self, name: &str, value: &str, hosts: &[&str]) {
        let hosts = hosts.iter().map(|&h| h.to_owned()).collect();
        self.vault()
            .put(OWNER, name, SecretString::from(value), hosts, None)
            .await
            .unwrap();
    }

    async fn gate(&self, destinations: Vec<Destination>) -> Arc<Gate> {
        let gate = Gate::start(
            self.settings.clone(),
            self.limits.clone(),
            self.vault(),
            self.clock.clone(),
        )
        .await
        .unwrap();
        gate.configure(destinations);
        gate
    }

    async fn call(&self, destination: Destination) -> CallGate {
        let owner = destination.owner.clone();
        let gate = self.gate(vec![destination]).await;
        open(&gate, &owner)
    }
}

fn open(gate: &Arc<Gate>, owner: &str) -> CallGate {
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
        owner: OWNER.to_owned(),
        connection: Some(ConnectionId(7)),
        subscription: Some("acme".to_owned()),
        channel: Some("shop".into()),
        limits: Vec::new(),
        own_key: LimitKey::new(OWNER),
        grants: grants.iter().map(|g| g.parse().unwrap()).collect(),
        allow_addresses: vec!["127.0.0.1/32".parse().unwrap()],
        auth: None,
        request_timeout_ms: 0,
        max_response_bytes: 0,
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
