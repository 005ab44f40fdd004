//! Authentication by API keys, roles, and the subscription that a key is bound to.
//!
//! A key is 128 random bits. The store keeps only its SHA-256. Objects of another tenant do not
//! exist for a caller (404); acts that the role does not allow are 403.

use aws_lc_rs::{digest, rand};
use axum::extract::FromRequestParts;
use egression_core::domain::ids::SubscriptionId;
use http::header;
use http::request::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keyed_limit::Principal;
use super::quota::Exceeded;
use super::serving::Serving;
use crate::api::http::problem::ApiError;
use crate::api::state::ApiState;

/// What a key allows. Each role includes the roles before it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Role {
    /// Read executions, jobs and objects.
    Read,
    /// Also submit, cancel and pause.
    Submit,
    /// Also configure, install connectors and create keys.
    Admin,
}

/// A new key. Only the hash is stored.
#[derive(Debug)]
pub struct NewKey {
    /// `egk_` and 32 hexadecimal digits.
    pub text: SecretString,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
}

/// Errors: the system's random source fails.
pub fn new_key() -> Result<NewKey, ApiError> {
    let mut bits = [0u8; 16];
    rand::fill(&mut bits)
        .map_err(|_| ApiError::Internal("the system's random source failed".to_owned()))?;
    let text = format!("egk_{}", hex::encode(bits));
    let hash = hash(&text);
    Ok(NewKey {
        text: SecretString::from(text),
        hash,
    })
}

/// The stored hash of a key. A plain digest suffices, because 128 random bits cannot be guessed.
pub fn hash(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    hash
}

/// The key of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's public id.
    pub key_id: String,
    pub role: Role,
    /// The only subscription that the key sees; `None`: all.
    pub subscription: Option<SubscriptionId>,
    /// The permits of the request.
    pub serving: Serving,
}

impl Caller {
    /// Errors: [`ApiError::Forbidden`] if the caller's role is below `role`.
    pub fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "this request needs a key with the role `{}`; this key has `{}`",
            role.into_str(),
            self.role.into_str()
        )))
    }

    /// Errors: [`ApiError::Forbidden`] if the caller is not an admin for all subscriptions.
    pub fn require_operator(&self) -> Result<(), ApiError> {
        self.require(Role::Admin)?;
        if self.subscription.is_none() {
            return Ok(());
        }
        Err(ApiError::Forbidden(
            "this request needs an admin key that is not bound to a subscription".to_owned(),
        ))
    }

    /// Errors: [`ApiError::Forbidden`] if the caller sees only one subscription.
    pub fn require_unbound(&self) -> Result<(), ApiError> {
        if self.subscription.is_none() {
            return Ok(());
        }
        Err(ApiError::Forbidden(
            "this request needs a key that is not bound to a subscription".to_owned(),
        ))
    }

    /// Who the requests count for in limits per caller.
    pub fn principal(&self) -> Principal {
        self.subscription.map_or_else(
            || Principal::Key(self.key_id.clone()),
            Principal::Subscription,
        )
    }

    /// Whether this subscription exists for the caller.
    pub fn sees(&self, subscription: SubscriptionId) -> bool {
        self.subscription.is_none_or(|own| own == subscription)
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let field = parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or(ApiError::Unauthenticated(
                "missing API key; send `Authorization: Bearer egk_…`",
            ))?;
        let text = SecretString::from(field.to_str().unwrap_or_default());
        let key = bearer(text.expose_secret()).ok_or(ApiError::Unauthenticated(
            "expected `Authorization: Bearer egk_…`",
        ))?;
        let row = state
            .store
            .key(hash(key))
            .await?
            .ok_or(ApiError::Unauthenticated(
                "the API key is unknown or revoked",
            ))?;
        let role = row.role.parse().map_err(|_| {
            ApiError::Internal(format!("key {} has the unknown role {}", row.id, row.role))
        })?;
        let serving = parts
            .extensions
            .get::<Serving>()
            .cloned()
            .unwrap_or_default();
        let caller = Self {
            key_id: row.id,
            role,
            subscription: row.subscription,
            serving,
        };
        if let Some(quotas) = &state.quotas {
            let drawn = quotas.take(&caller.principal(), state.clock.mono());
            caller
                .serving
                .set_quota(drawn.unwrap_or_else(|exceeded| exceeded.state));
            drawn.map_err(|exceeded| quota_exceeded(state, exceeded))?;
        }
        let max = state.settings.requests_per_key;
        let permit = state
            .request_limit
            .acquire(caller.principal())
            .ok_or_else(|| ApiError::TooMany {
                code: "too_many_requests_of_key",
                detail: format!(
                    "the limit of {max} concurrent requests of this API key is reached (bound \
                     `api.requests_per_key`)"
                ),
                retry_after_s: 1,
            })?;
        caller.serving.add(permit);
        Ok(caller)
    }
}

fn quota_exceeded(state: &ApiState, exceeded: Exceeded) -> ApiError {
    let (requests, window_ms) = (
        state.settings.quota_requests,
        state.settings.quota_window_ms,
    );
    ApiError::TooMany {
        code: "quota_exceeded",
        detail: format!(
            "the quota of this API key is used up: {requests} requests in {window_ms} ms \
             (bounds `api.quota_requests`, `api.quota_window_ms`)"
        ),
        retry_after_s: exceeded.retry_after_s,
    }
}

/// The key in an `Authorization` field (RFC 6750, section 2.1).
fn bearer(field: &str) -> Option<&str> {
    let (scheme, key) = field.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && key.starts_with("egk_")).then_some(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn key_is_random_and_found_by_its_hash() {
        let (one, two) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one.hash, two.hash);
        assert_eq!(one.text.expose_secret().len(), 36);
        assert_eq!(hash(one.text.expose_secret()), one.hash);
        assert!(!format!("{one:?}").contains(one.text.expose_secret()));
    }

    #[test]
    fn authorization_takes_only_bearer_keys() {
        assert_eq!(bearer("Bearer egk_1"), Some("egk_1"));
        assert_eq!(bearer("bearer  egk_1 "), Some("egk_1"));
        for bad in ["egk_1", "Basic egk_1", "Bearer", "Bearer abc", ""] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
    }

    #[test]
    fn role_includes_lower_roles_and_a_bound_key_sees_one_subscription() {
        let caller = |role, subscription: Option<i64>| Caller {
            key_id: String::new(),
            role,
            subscription: subscription.map(SubscriptionId),
            serving: Serving::default(),
        };
        assert!(caller(Role::Submit, None).require(Role::Read).is_ok());
        assert!(caller(Role::Submit, None).require(Role::Admin).is_err());
        assert!(caller(Role::Admin, Some(1)).require_operator().is_err());
        assert!(caller(Role::Admin, None).require_operator().is_ok());
        assert!(caller(Role::Read, Some(1)).sees(SubscriptionId(1)));
        assert!(!caller(Role::Read, Some(1)).sees(SubscriptionId(2)));
    }
}
