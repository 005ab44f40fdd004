//! Parts of a tenant's connections and sources that only the operator changes: references to the
//! host's own environment and files, the hosts and addresses that they can reach, and who may use a
//! source.

use crate::api::http::problem::ApiError;
use crate::documents::credential::{hosts_of_source, places_of_hosts};
use crate::documents::model::{AuthDocument, ConnectionDocument, SourceDocument};
use crate::documents::secret::SecretRef;

/// Refuses a document that only the operator can write. `present`: the document that it replaces.
/// Errors: [`ApiError::Forbidden`].
pub fn check(
    asked: &ConnectionDocument,
    present: Option<&ConnectionDocument>,
) -> Result<(), ApiError> {
    check_auth(asked.auth.as_ref())?;
    let (hosts, addresses) = present
        .map(|p| (p.allow_hosts.clone(), p.allow_addresses.clone()))
        .unwrap_or_default();
    if asked.allow_hosts != hosts || asked.allow_addresses != addresses {
        return Err(ApiError::Forbidden(
            "only the operator can change `allow_hosts` and `allow_addresses`".to_owned(),
        ));
    }
    // The operator allowed these addresses for the hosts of that time. An address that is not
    // public can have more than one service.
    let moved = present
        .filter(|_| !addresses.is_empty() || !hosts.is_empty())
        .and_then(|present| moved(asked, present));
    match moved {
        None => Ok(()),
        Some(place) => Err(ApiError::Forbidden(format!(
            "{place}: names another host; only the operator can change the hosts of a connection \
             that has `allow_hosts` or `allow_addresses`"
        ))),
    }
}

/// The same for a source that belongs to the tenant.
pub fn check_source(asked: &SourceDocument, present: &SourceDocument) -> Result<(), ApiError> {
    check_auth(asked.auth.as_ref())?;
    if asked.subscriptions != present.subscriptions {
        return Err(ApiError::Forbidden(
            "only the operator can change `subscriptions`".to_owned(),
        ));
    }
    if asked.allow_addresses != present.allow_addresses {
        return Err(ApiError::Forbidden(
            "only the operator can change `allow_addresses`".to_owned(),
        ));
    }
    let known = hosts_of_source(present);
    let moved = hosts_of_source(asked)
        .into_iter()
        .find(|host| !present.allow_addresses.is_empty() && !known.contains(host));
    match moved {
        None => Ok(()),
        Some(host) => Err(ApiError::Forbidden(format!(
            "{host}: only the operator can change the hosts of a source that has \
             `allow_addresses`"
        ))),
    }
}

fn check_auth(auth: Option<&AuthDocument>) -> Result<(), ApiError> {
    let reads_host = |secret: &SecretRef| matches!(secret, SecretRef::Env(_) | SecretRef::File(_));
    if auth.is_some_and(|auth| auth.secrets().iter().any(|s| reads_host(s.reference))) {
        return Err(ApiError::Forbidden(
            "only the operator can name secrets in the host's environment or files; \
             send the value instead"
                .to_owned(),
        ));
    }
    Ok(())
}

/// A place that names another host than before.
fn moved(asked: &ConnectionDocument, present: &ConnectionDocument) -> Option<String> {
    let (asked, present) = (places_of_hosts(asked), places_of_hosts(present));
    asked
        .into_iter()
        .find(|(place, origin)| present.get(place) != Some(origin))
        .map(|(place, _)| place)
}
