//! Who asks: API keys, roles, and the subscription that a key is bound to.
//!
//! A key is 128 random bits, kept as SHA-256 and shown once. What belongs to another tenant is
//! answered as if it did not exist; what the role does not allow is 403.

use aws_lc_rs::{digest, rand};
use axum::extract::FromRequestParts;
use egression_core::domain::ids::SubscriptionId;
use http::header;
use http::request::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::http::problem::ApiError;
use super::quota::Exceeded;
use super::keyed_limit::Principal;
use super::serving::Serving;
use crate::api::state::ApiState;

/// What a key may do. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look at executions, jobs and objects.
    Read,
    /// Submit, cancel and pause as well.
    Submit,
    /// Configure, install connectors and make keys as well.
    Admin,
}

impl Role {
    /// The word used in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Submit, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// A new key: the text is shown once, the hash is kept.
#[derive(Debug)]
pub struct NewKey {
    /// `egk_` and 32 hexadecimal digits.
    pub text: SecretString,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
}

/// Makes a key of 128 random bits.
///
/// # Errors
/// When the system has no randomness to give.
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

/// The hash under which a key is kept. A plain digest is enough: the key has 128 random bits, so it
/// cannot be guessed.
#[must_use]
pub fn hash(key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    hash
}

/// The key that a request came with.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's public id.
    pub key_id: String,
    /// What it may do.
    pub role: Role,
    /// The only subscription that it sees; none: all.
    pub subscription: Option<SubscriptionId>,
    /// The places that its request holds.
    pub serving: Serving,
}

impl Caller {
    /// Refuses a caller whose role is below `role`.
    pub fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "this needs a key with the role `{}`; this key has `{}`",
            role.as_str(),
            self.role.as_str()
        )))
    }

    /// Refuses a caller that is not an admin over all subscriptions.
    pub fn require_operator(&self) -> Result<(), ApiError> {
        self.require(Role::Admin)?;
        if self.subscription.is_none() {
            return Ok(());
        }
        Err(ApiError::Forbidden(
            "this needs an admin key that is not bound to one subscription".to_owned(),
        ))
    }

    /// Whose share of the host's bounds its requests take.
    #[must_use]
    pub fn principal(&self) -> Principal {
        self.subscription
            .map_or_else(|| Principal::Key(self.key_id.clone()), Principal::Subscription)
    }

    /// Whether what belongs to this subscription exists for the caller.
    #[must_use]
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
                "no API key: send `Authorization: Bearer egk_…`",
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
                "the API key is not known or was revoked",
            ))?;
        let role = Role::parse(&row.role).ok_or_else(|| {
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
        let permit = state.request_limit.acquire(caller.principal()).ok_or_else(|| {
            ApiError::TooMany {
                code: "too_many_requests_of_key",
                detail: format!(
                    "{max} requests of this API key are being served (bound `api.requests_per_key`)"
                ),
                retry_after_s: 1,
            }
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
            "this API key made {requests} requests in {window_ms} ms (bounds `api.quota_requests`, `api.quota_window_ms`)"
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
    fn keys_are_new_each_time_and_found_by_their_hash() {
        let (one, two) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one.hash, two.hash);
        assert_eq!(one.text.expose_secret().len(), 36);
        assert_eq!(hash(one.text.expose_secret()), one.hash);
        assert!(!format!("{one:?}").contains(one.text.expose_secret()));
    }

    #[test]
    fn only_bearer_keys_are_taken() {
        assert_eq!(bearer("Bearer egk_1"), Some("egk_1"));
        assert_eq!(bearer("bearer  egk_1 "), Some("egk_1"));
        for bad in ["egk_1", "Basic egk_1", "Bearer", "Bearer abc", ""] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
    }

    #[test]
    fn roles_include_those_below_and_a_binding_hides_the_rest() {
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
