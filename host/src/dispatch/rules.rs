//! From documents and manifests to the scheduler's rules.

use std::collections::HashMap;

use egression_core::domain::partition::KeyHash;
use egression_core::scheduler::{ConnectionRules, Gating, PackingRule};

use crate::documents::catalogue::{Connection, ConnectionState};
use crate::documents::model::ChannelDocument;
use crate::runtime::Description;

/// The scheduler's rules of a connection.
pub(super) fn rules_of(connection: &Connection, description: &Description) -> ConnectionRules {
    let channel = &connection.channel.document;
    ConnectionRules {
        connection: connection.id,
        subscription: connection.subscription.id,
        weight: connection.subscription.document.weight,
        max_calls: channel.max_calls.max(1),
        belt_on_failure: channel.belt_on_failure,
        packing: packing_of(channel, description),
    }
}

fn packing_of(channel: &ChannelDocument, description: &Description) -> HashMap<i64, PackingRule> {
    let most = channel.max_items.unwrap_or(u32::MAX);
    description
        .object_types
        .iter()
        .map(|support| {
            let rule = PackingRule {
                max_items: support.max_items.min(most).max(1),
                max_in_flight: support.max_in_flight,
                max_wait_ms: support.max_wait_ms,
                mixed_actions: support.mixed_actions,
                requests_per_call: support.requests_per_call.max(1),
            };
            (type_hash(&support.object_type), rule)
        })
        .collect()
}

/// The hash by which the scheduler knows an object type.
pub(crate) fn type_hash(object_type: &str) -> i64 {
    KeyHash::of(object_type).0
}

/// Whether a person or the host keeps the connection from being used. A circuit is the dispatcher's
/// own knowledge.
pub(super) fn gating_of(connection: &Connection) -> Gating {
    match &connection.state {
        _ if connection.channel.paused => Gating::Paused,
        ConnectionState::Active => Gating::Open,
        ConnectionState::Paused { .. } => Gating::Paused,
        ConnectionState::Parked { reason } => Gating::Parked(reason.clone()),
    }
}
