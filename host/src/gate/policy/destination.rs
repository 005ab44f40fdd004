//! What the gate knows of an owner: a connection or a source.

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::scheduler::limits::{LimitKey, LimitKind, Share};
use ipnet::IpNet;

use super::cost::{self, Cost};
use super::grants::Grant;
use crate::documents::model::AuthDocument;

/// A connection's or source's way out.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Whose requests these are: `connection:7`, `source:3`.
    pub owner: String,
    /// The connection; none for a source.
    pub connection: Option<ConnectionId>,
    /// The subscription's name; none for a source.
    pub subscription: Option<String>,
    /// The channel's name, shared with the labels of its metrics; none for a source.
    pub channel: Option<Arc<str>>,
    pub limits: Vec<BoundLimit>,
    /// The owner's own key, which a throttle closes that names no limit.
    pub own_key: LimitKey,
    /// Where it may send to.
    pub grants: Vec<Grant>,
    /// Ranges that may be dialled although they are not public.
    pub allow_addresses: Vec<IpNet>,
    /// How it authenticates. Secret references in it are not looked at: the values are in the
    /// vault, under `token`, `client_secret`, or the connector's own names.
    pub auth: Option<AuthDocument>,
    /// One request in milliseconds; 0: the gate's default.
    pub request_timeout_ms: u64,
    /// The largest answer in bytes; 0: the gate's default. Never above the gate's own bound.
    pub max_response_bytes: u64,
}

/// A limit with the key under which it is counted.
#[derive(Clone, Debug)]
pub struct BoundLimit {
    /// Owners with the same key share the limit.
    pub key: LimitKey,
    /// How it fills and empties.
    pub kind: LimitKind,
    /// The name that a throttle or an observation can refer to.
    pub name: Option<String>,
    /// What it counts: the cost of this name, as requests state it; none: requests.
    pub counts: Option<String>,
    /// The operations that it covers; empty: every request.
    pub operations: Vec<String>,
}

impl Destination {
    /// What a request of this operation and with these costs takes of which limits. The own key
    /// comes last.
    #[must_use]
    pub fn shares(&self, operation: Option<&str>, costs: &[Cost]) -> Vec<Share> {
        let share = |limit: &BoundLimit| Share {
            key: limit.key.clone(),
            units: cost::of(limit.counts.as_deref(), costs),
        };
        let mut shares: Vec<Share> = self.covering(operation).map(share).collect();
        shares.push(Share::one(self.own_key.clone()));
        shares
    }

    /// The limits that count a cost which such a request does not state.
    pub fn unstated<'a>(
        &'a self,
        operation: Option<&'a str>,
        costs: &'a [Cost],
    ) -> impl Iterator<Item = &'a BoundLimit> {
        let states = |name: &str| costs.iter().any(|cost| cost.name == name);
        self.covering(operation).filter(move |limit| {
            limit
                .counts
                .as_deref()
                .is_some_and(|counts| !states(counts))
        })
    }

    fn covering<'a>(&'a self, operation: Option<&'a str>) -> impl Iterator<Item = &'a BoundLimit> {
        let named = move |limit: &BoundLimit| {
            operation.is_some_and(|op| limit.operations.iter().any(|o| o == op))
        };
        self.limits
            .iter()
            .filter(move |limit| limit.operations.is_empty() || named(limit))
    }

    /// The limits that cover every request: what admission can know before a connector has said
    /// what it will do.
    pub fn common_limits(&self) -> impl Iterator<Item = &BoundLimit> {
        self.limits
            .iter()
            .filter(|limit| limit.operations.is_empty())
    }

    /// The keys of all limits of a name, whoever gave it: the destination says no to all of them.
    /// The own key if none is named or the name is not known.
    #[must_use]
    pub fn buckets(&self, name: Option<&str>) -> Vec<&LimitKey> {
        let named = |limit: &&BoundLimit| name.is_some() && limit.name.as_deref() == name;
        let mut keys: Vec<&LimitKey> = self
            .limits
            .iter()
            .filter(named)
            .map(|limit| &limit.key)
            .collect();
        if keys.is_empty() {
            keys.push(&self.own_key);
        }
        keys
    }
}
