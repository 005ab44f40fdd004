//! The configuration of a shop: credentials, bounds, limits and faults.
//!
//! A scenario is parsed once, from TOML or JSON. An empty scenario has no limits and no faults.
//! Unknown names are errors, so that a misspelled fault is not ignored.

use serde::{Deserialize, Serialize};

/// The settings of a shop. Every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The account's name in `GET /v1/account`. Default `sandbox`.
    pub account: String,
    /// The credentials that a client needs to obtain a token.
    pub credentials: Credentials,
    /// How long a token is valid, in seconds. Default 3600; 0 issues tokens that have expired.
    pub token_ttl_s: u64,
    /// The most items in one batch. Default 100.
    pub max_batch: usize,
    /// The most bytes in one request body, single or batch. Default 4 MiB.
    pub max_body_bytes: u64,
    /// Whether calls to `/oauth/token` count against the limits. Default false.
    pub count_tokens: bool,
    /// The limits; all of them apply at once. Default none.
    pub limits: Vec<Limit>,
    /// The faults. Default none.
    pub faults: Faults,
    /// The seed for drawing faults. Default 1.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            account: "sandbox".to_owned(),
            credentials: Credentials::default(),
            token_ttl_s: 3_600,
            max_batch: 100,
            max_body_bytes: 4 * 1_024 * 1_024,
            count_tokens: false,
            limits: Vec::new(),
            faults: Faults::default(),
            seed: 1,
        }
    }
}

/// The credentials that a client needs to obtain a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// The client id of `POST /oauth/token`. Default `sandbox`.
    pub client_id: String,
    /// The client secret of `POST /oauth/token`. Default `sandbox-secret`.
    pub client_secret: String,
    /// The key of `POST /v1/login`. Default `sandbox-key`.
    pub api_key: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            client_id: "sandbox".to_owned(),
            client_secret: "sandbox-secret".to_owned(),
            api_key: "sandbox-key".to_owned(),
        }
    }
}

/// A limit on requests. Every arrival counts, including refused ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Limit {
    /// Any interval `w` may hold at most `rate × w / per_ms + burst` arrivals.
    TokenBucket {
        /// Requests that become available in `per_ms`.
        rate: u64,
        /// The interval for `rate`.
        per_ms: u64,
        /// Requests that may arrive at once after a pause.
        burst: u64,
    },
    /// Any `window_ms` (excluding its end) may hold at most `max` arrivals.
    Window { max: u64, window_ms: u64 },
    /// At most `max` requests may be open, from the arrival of the head to the answer.
    Concurrency {
        /// Open requests.
        max: u64,
    },
}

impl Limit {
    /// The `kind`, as in the scenario.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TokenBucket { .. } => "token_bucket",
            Self::Window { .. } => "window",
            Self::Concurrency { .. } => "concurrency",
        }
    }

    fn has_zero(&self) -> bool {
        match *self {
            Self::TokenBucket {
                rate,
                per_ms,
                burst,
            } => rate == 0 || per_ms == 0 || burst == 0,
            Self::Window { max, window_ms } => max == 0 || window_ms == 0,
            Self::Concurrency { max } => max == 0,
        }
    }
}

/// The scripted faults. Shares are between 0 and 1 and apply to calls on objects, not to calls that
/// fetch tokens. Shares are drawn from the scenario's seed; counts are exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The share of calls that are answered 503, with nothing applied.
    pub error_5xx: f64,
    /// Slow calls. A write is applied after the wait.
    pub latency: Latency,
    /// The share of writes that are applied, but whose connection is then closed without an answer.
    /// Only a call that newly applied an item is dropped.
    pub drop_after_write: f64,
    /// The share of batches that are answered 413, with nothing applied.
    pub batch_refusal: f64,
    /// Counts of applied items at which every token issued so far is revoked.
    pub token_revocations: Vec<u64>,
    /// Times during which the shop is closed.
    pub cool_downs: Vec<CoolDown>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// The share of calls that wait.
    pub share: f64,
    pub ms: u64,
}

/// A time during which the shop is closed: every counted call is answered 429.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoolDown {
    /// The number of the counted call whose arrival closes the shop; that call is still served.
    /// Counting starts with 1 at the start or the last reset.
    pub after_calls: u64,
    /// How long the shop is closed after that arrival.
    pub ms: u64,
}

/// A change of a running shop's scenario. Each given field replaces the shop's whole field.
///
/// Counts continue, so a revocation or cool-down at a count that has passed does not happen. A
/// limit that stays the same at the same position keeps its state; any other limit starts anew. A
/// new seed restarts the draws.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScenarioChange {
    pub account: Option<String>,
    pub credentials: Option<Credentials>,
    pub token_ttl_s: Option<u64>,
    pub max_batch: Option<usize>,
    pub max_body_bytes: Option<u64>,
    pub count_tokens: Option<bool>,
    pub limits: Option<Vec<Limit>>,
    pub faults: Option<Faults>,
    pub seed: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The text is not TOML, or not a scenario.
    #[error("invalid scenario: {0}")]
    Toml(#[from] toml::de::Error),
    /// The text is not JSON, or not a scenario.
    #[error("invalid scenario: {0}")]
    Json(#[from] serde_json::Error),
    /// A share is not between 0 and 1.
    #[error("`faults.{name}` is {value}; a share must be between 0 and 1")]
    Share { name: &'static str, value: f64 },
    /// A limit would admit nothing.
    #[error("`limits[{position}]` contains a 0; omit the limit to remove it")]
    ZeroLimit {
        /// The limit's position in the list, from 0.
        position: usize,
    },
}

impl Scenario {
    /// Parses a scenario from TOML. Errors: the text is not TOML, or has unknown names or invalid
    /// values.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.checked()
    }

    /// Parses a scenario from JSON. Errors: the text is not JSON, or has unknown names or invalid
    /// values.
    pub fn from_json(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_json::from_str(text)?;
        scenario.checked()
    }

    /// This scenario with the fields of `change` applied. Errors: the result has invalid values.
    pub fn changed(&self, change: ScenarioChange) -> Result<Self, ScenarioError> {
        let own = self.clone();
        Self {
            account: change.account.unwrap_or(own.account),
            credentials: change.credentials.unwrap_or(own.credentials),
            token_ttl_s: change.token_ttl_s.unwrap_or(own.token_ttl_s),
            max_batch: change.max_batch.unwrap_or(own.max_batch),
            max_body_bytes: change.max_body_bytes.unwrap_or(own.max_body_bytes),
            count_tokens: change.count_tokens.unwrap_or(own.count_tokens),
            limits: change.limits.unwrap_or(own.limits),
            faults: change.faults.unwrap_or(own.faults),
            seed: change.seed.unwrap_or(own.seed),
        }
        .checked()
    }

    /// Returns the scenario if its values are valid.
    pub(crate) fn checked(self) -> Result<Self, ScenarioError> {
        let faults = &self.faults;
        for (name, value) in [
            ("error_5xx", faults.error_5xx),
            ("latency.share", faults.latency.share),
            ("drop_after_write", faults.drop_after_write),
            ("batch_refusal", faults.batch_refusal),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(ScenarioError::Share { name, value });
            }
        }
        match self.limits.iter().position(Limit::has_zero) {
            Some(position) => Err(ScenarioError::ZeroLimit { position }),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FULL: &str = r#"
        account = "acme"
        token_ttl_s = 60
        max_batch = 10
        max_body_bytes = 1000
        count_tokens = true
        seed = 7
        limits = [
            { kind = "token_bucket", rate = 20, per_ms = 1000, burst = 5 },
            { kind = "window", max = 250, window_ms = 15000 },
            { kind = "concurrency", max = 4 },
        ]
        [credentials]
        api_key = "k"
        [faults]
        error_5xx = 0.1
        latency = { share = 0.5, ms = 20 }
        drop_after_write = 1
        batch_refusal = 0.25
        token_revocations = [10, 20]
        cool_downs = [{ after_calls = 3, ms = 50 }]
    "#;

    #[test]
    fn empty_text_is_the_default_in_both_formats() {
        assert_eq!(Scenario::from_toml("").unwrap(), Scenario::default());
        assert_eq!(Scenario::from_json("{}").unwrap(), Scenario::default());
    }

    #[test]
    fn scenario_survives_json() {
        let scenario = Scenario::from_toml(FULL).unwrap();
        assert_eq!(scenario.credentials.client_id, "sandbox");
        assert_eq!(scenario.credentials.api_key, "k");
        assert_eq!(
            scenario.limits[1],
            Limit::Window {
                max: 250,
                window_ms: 15_000
            }
        );
        assert_eq!(
            scenario.faults.cool_downs,
            [CoolDown {
                after_calls: 3,
                ms: 50
            }]
        );
        let json = serde_json::to_string(&scenario).unwrap();
        assert_eq!(Scenario::from_json(&json).unwrap(), scenario);
    }

    #[test]
    fn unknown_names_and_invalid_values_are_refused() {
        for text in [
            "limit = []",
            "limits = [{ kind = \"window\", max = 1, window_s = 1 }]",
            "[faults]\nerror_500 = 0.1",
        ] {
            assert!(
                matches!(Scenario::from_toml(text), Err(ScenarioError::Toml(_))),
                "{text}"
            );
        }
        let share = Scenario::from_json(r#"{"faults":{"batch_refusal":1.5}}"#);
        assert!(matches!(
            share,
            Err(ScenarioError::Share {
                name: "batch_refusal",
                ..
            })
        ));
        let zero = Scenario::from_json(r#"{"limits":[{"kind":"concurrency","max":0}]}"#);
        assert!(matches!(
            zero,
            Err(ScenarioError::ZeroLimit { position: 0 })
        ));
    }

    #[test]
    fn change_replaces_only_the_named_fields() {
        let before = Scenario::from_toml(FULL).unwrap();
        let change: ScenarioChange = serde_json::from_str(r#"{"faults":{"error_5xx":1}}"#).unwrap();
        let after = before.changed(change).unwrap();
        assert_eq!(after.limits, before.limits);
        assert_eq!(
            after.faults,
            Faults {
                error_5xx: 1.0,
                ..Faults::default()
            }
        );
    }
}
