//! Creates a key in the data directory of a stopped host. It needs no other key: an operator who
//! lost the admin key can still write the directory.

use std::path::Path;

use egression_core::domain::ids::SubscriptionId;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::keys::{self, KeyRequest, KeyView};
use crate::api::http::problem::ApiError;
use crate::api::middleware::auth;
use crate::clock::Clock;
use crate::store::documents::{DocumentKind, DocumentName};
use crate::store::{Store, StoreOptions};

/// Takes and returns what `POST /v1/keys` does. Errors: the directory has no store, a host holds
/// it, or the request is invalid.
pub async fn create(data_dir: &Path, request: Value) -> Result<Value, ApiError> {
    let wanted: KeyRequest =
        serde_json::from_value(request).map_err(|error| ApiError::Internal(error.to_string()))?;
    if !Store::is_in(data_dir) {
        return Err(ApiError::NotFound(format!(
            "{} has no store; name the data directory of the host with `--data-dir`",
            data_dir.display()
        )));
    }
    let clock = Clock::system();
    let store = Store::open_with(data_dir, clock.clone(), StoreOptions::default()).await?;
    let created = put(&store, &clock, wanted).await;
    store.close().await;
    let view = created?;
    serde_json::to_value(view).map_err(|error| ApiError::Internal(error.to_string()))
}

async fn put(store: &Store, clock: &Clock, wanted: KeyRequest) -> Result<KeyView, ApiError> {
    wanted.check()?;
    let subscription = match &wanted.subscription {
        None => None,
        Some(name) => {
            let known = store.documents(DocumentKind::Subscription).await?;
            let wanted = DocumentName::Subscription(name.clone());
            let found = known.into_iter().find(|found| found.name == wanted);
            let found = found.ok_or_else(|| keys::unknown_subscription(name))?;
            Some(SubscriptionId(found.id))
        }
    };
    let key = auth::new_key()?;
    let row = keys::new_row(clock.wall(), wanted.role, subscription, wanted.label);
    store.put_key(row.clone(), key.hash).await?;
    tracing::info!(key.id = row.id, role = row.role, "key created offline");
    Ok(KeyView {
        id: row.id,
        role: row.role,
        subscription: wanted.subscription,
        label: row.label,
        created_at: row.created_at.to_rfc3339(),
        key: Some(key.text.expose_secret().to_owned()),
    })
}
