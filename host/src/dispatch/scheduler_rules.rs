//! The scheduler's rules, from documents and manifests.

use std::collections::HashMap;

use egression_core::domain::ids::TypeHash;
use egression_core::scheduler::{Availability, ConnectionRules, PackingRule};

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

fn packing_of(
    channel: &ChannelDocument,
    description: &Description,
) -> HashMap<TypeHash, PackingRule> {
    let most = channel.max_items.unwrap_or(u32::MAX);
    description
        .object_types
        .iter()
        .map(|support| {
            let rule = support.packing(most);
            (TypeHash::of(&support.object_type), rule)
        })
        .collect()
}

/// The availability that the documents and the stored state give. The dispatcher adds open
/// circuits.
pub(super) fn availability_of(connection: &Connection) -> Availability {
    match &connection.state {
        _ if connection.channel.paused => Availability::Paused,
        ConnectionState::Active => Availability::Open,
        ConnectionState::Paused { .. } => Availability::Paused,
        ConnectionState::Parked { reason } => Availability::Parked(reason.clone()),
    }
}
