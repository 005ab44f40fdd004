//! Parts of a connection that only the operator changes: references to the host's own environment
//! and files, and the hosts and addresses that the connection can reach.

use crate::api::http::problem::ApiError;
use crate::documents::credential::places_of_hosts;
use crate::documents::model::ConnectionDocument;
use crate::documents::secret::SecretRef;

/// Refuses a document that only the operator can write. `present`: the document that it replaces.
/// Errors: [`ApiError::Forbidden`].
pub fn check(
    asked: &ConnectionDocument,
    present: Option<&ConnectionDocument>,
) -> Result<(), ApiError> {
    let reads_host = |secret: &SecretRef| matches!(secret, SecretRef::Env(_) | SecretRef::File(_));
    let auth = asked.auth.as_ref();
    if auth.is_some_and(|auth| auth.secrets().iter().any(|s| reads_host(s.reference))) {
        return Err(ApiError::Forbidden(
            "only the operator can name secrets in the host's environment or files; \
             send the value instead"
                .to_owned(),
        ));
    }
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

/// A place that names another host than before.
fn moved(asked: &ConnectionDocument, present: &ConnectionDocument) -> Option<String> {
    let (asked, present) = (places_of_hosts(asked), places_of_hosts(present));
    asked
        .into_iter()
        .find(|(place, origin)| present.get(place) != Some(origin))
        .map(|(place, _)| place)
}
