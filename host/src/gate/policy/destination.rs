//! An owner's way out, as its documents define it.

use std::sync::Arc;

use egression_core::domain::ids::Owner;
use egression_core::scheduler::limits::{Charge, LimitKey, LimitKind};
use ipnet::IpNet;

use super::cost::{self, Cost};
use super::grants::Grant;
use crate::documents::model::AuthDocument;

/// The way out of a connection or source.
#[derive(Clone, Debug)]
pub struct Destination {
    pub owner: Owner,
    /// The channel's name, shared with the labels of its metrics; `None` for a source.
    pub channel: Option<Arc<str>>,
    pub limits: Vec<BoundLimit>,
    /// The owner's own key. A throttle without a limit's name closes it.
    pub own_key: LimitKey,
    pub grants: Vec<Grant>,
    /// Address ranges that are allowed although they are not public.
    pub allow_addresses: Vec<IpNet>,
    /// How it authenticates. The gate does not resolve the secret references in it: the vault has
    /// the values as `token`, `client_secret`, or under the connector's own names.
    pub auth: Option<AuthDocument>,
    /// Timeout of one request in milliseconds; 0: the gate's default.
    pub request_timeout_ms: u64,
    /// The largest response in bytes; 0: the gate's default. The gate's own bound always applies.
    pub max_response_bytes: u64,
    /// What the destination says about time counts for at most this long, in milliseconds.
    pub max_retry_after_ms: u64,
    /// Its requests pass closed limits, to check whether they may reopen.
    pub passes_closures: bool,
}

/// A limit and the key that counts it.
#[derive(Clone, Debug)]
pub struct BoundLimit {
    /// Owners with the same key share the limit.
    pub key: LimitKey,
    pub kind: LimitKind,
    /// The name that a throttle or an observation may refer to.
    pub name: Option<String>,
    /// The name of the cost that it counts; `None`: it counts requests.
    pub counts: Option<String>,
    /// The operations that it covers; empty: all requests.
    pub operations: Vec<String>,
}

impl Destination {
    /// What a request with this operation and these costs takes from which limits. The own key
    /// comes last.
    pub fn shares(&self, operation: Option<&str>, costs: &[Cost]) -> Vec<Charge> {
        let share = |limit: &BoundLimit| Charge {
            key: limit.key.clone(),
            units: cost::of(limit.counts.as_deref(), costs),
        };
        let mut shares: Vec<Charge> = self.covering(operation).map(share).collect();
        shares.push(Charge::one(self.own_key.clone()));
        shares
    }

    /// The limits that count a cost that such a request does not state.
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

    /// The limits that cover all requests. Admission knows only these before the connector runs.
    pub fn common_limits(&self) -> impl Iterator<Item = &BoundLimit> {
        self.limits
            .iter()
            .filter(|limit| limit.operations.is_empty())
    }

    /// The same destination for a check that a person asked for.
    pub fn past_closures(&self) -> Self {
        Self {
            passes_closures: true,
            ..self.clone()
        }
    }

    /// The keys of the limits that every request counts against: a request that passes shows that
    /// the destination no longer closes them.
    pub fn common_keys(&self) -> impl Iterator<Item = &LimitKey> {
        self.common_limits()
            .map(|limit| &limit.key)
            .chain([&self.own_key])
    }

    /// The keys of all limits with this name, whichever document defines them. The own key if there
    /// is no name or no such limit.
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
