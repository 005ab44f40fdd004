//! One document of any kind.

use serde::Deserialize;

use crate::documents::model::{
    AuthDocument, ChannelDocument, ConnectionDocument, SourceDocument, SubscriptionDocument,
};
use crate::documents::validate::{self, Issue};
use crate::store::StoreError;
use crate::store::documents::{DocumentName, StoredDocument};
use egression_core::domain::ids::{ConnectionId, Owner, SourceId};

#[derive(Clone, Debug)]
pub enum Document {
    Subscription(SubscriptionDocument),
    Source(SourceDocument),
    Channel(ChannelDocument),
    Connection(ConnectionDocument),
}

impl Document {
    pub fn name(&self) -> DocumentName {
        match self {
            Self::Subscription(document) => DocumentName::Subscription(document.name.clone()),
            Self::Source(document) => DocumentName::Source(document.name.clone()),
            Self::Channel(document) => DocumentName::Channel(document.name.clone()),
            Self::Connection(document) => DocumentName::Connection {
                channel: document.channel.clone(),
                subscription: document.subscription.clone(),
            },
        }
    }

    /// The problems of the document that can be found without looking at other documents.
    pub fn issues(&self) -> Vec<Issue> {
        match self {
            Self::Subscription(document) => validate::subscription(document),
            Self::Source(document) => validate::source(document),
            Self::Channel(document) => validate::channel(document),
            Self::Connection(document) => validate::connection(document),
        }
    }

    pub(super) fn auth(&self) -> Option<&AuthDocument> {
        match self {
            Self::Subscription(_) | Self::Channel(_) => None,
            Self::Source(document) => document.auth.as_ref(),
            Self::Connection(document) => document.auth.as_ref(),
        }
    }

    /// The JSON that the store keeps. It contains no secret.
    pub(super) fn stored_json(&self) -> Result<String, StoreError> {
        let json = match self {
            Self::Subscription(document) => serde_json::to_string(document),
            Self::Channel(document) => serde_json::to_string(document),
            Self::Source(document) => serde_json::to_string(&SourceDocument {
                auth: document.auth.as_ref().map(AuthDocument::without_values),
                ..document.clone()
            }),
            Self::Connection(document) => serde_json::to_string(&ConnectionDocument {
                auth: document.auth.as_ref().map(AuthDocument::without_values),
                ..document.clone()
            }),
        };
        json.map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

/// The name under which the vault keeps the secrets of a stored document.
pub(super) fn owner(stored: &StoredDocument) -> Option<Owner> {
    match stored.name {
        DocumentName::Subscription(_) | DocumentName::Channel(_) => None,
        DocumentName::Source(_) => Some(Owner::Source(SourceId(stored.id))),
        DocumentName::Connection { .. } => Some(Owner::Connection(ConnectionId(stored.id))),
    }
}

/// The names of the secrets that a stored document refers to.
pub(super) fn secret_names(stored: &StoredDocument) -> Vec<String> {
    #[derive(Deserialize)]
    struct WithAuth {
        auth: Option<AuthDocument>,
    }
    let auth = serde_json::from_str::<WithAuth>(&stored.json)
        .ok()
        .and_then(|document| document.auth);
    auth.iter()
        .flat_map(AuthDocument::secrets)
        .map(|secret| secret.name.to_owned())
        .collect()
}
