//! The shape of a limit, the same in a channel, a connection override, a source and a sandbox scenario.

use egression_core::scheduler::limits::LimitKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who shares a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// One subscription on one channel.
    #[default]
    Connection,
    /// All subscriptions on one channel.
    Channel,
    /// All channels of one connector.
    Connector,
}

/// A bound on requests to a destination or a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LimitDocument {
    /// At most `rate` per `per_ms`, and `burst` at once.
    TokenBucket {
        /// Who shares it.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Requests per `per_ms`.
        rate: u32,
        /// The length of time for `rate`, in milliseconds.
        #[serde(default = "one_second")]
        per_ms: u64,
        /// Requests at once after a pause.
        burst: u32,
        /// The operations that it covers; empty: every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At most `max` in any `window_ms`.
    Window {
        /// Who shares it.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Requests in the window.
        max: u32,
        /// The window's length in milliseconds.
        window_ms: u64,
        /// The operations that it covers; empty: every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At most `max` at once.
    Concurrency {
        /// Who shares it.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Requests at once.
        max: u32,
        /// The operations that it covers; empty: every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At least `interval_ms` between two.
    MinInterval {
        /// Who shares it.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Milliseconds between the starts of two requests.
        interval_ms: u64,
        /// The operations that it covers; empty: every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
}

impl LimitDocument {
    /// How the destination counts.
    #[must_use]
    pub const fn kind(&self) -> LimitKind {
        match *self {
            Self::TokenBucket { rate, per_ms, burst, .. } => LimitKind::TokenBucket { rate, per_ms, burst },
            Self::Window { max, window_ms, .. } => LimitKind::Window { max, window_ms },
            Self::Concurrency { max, .. } => LimitKind::Concurrency { max },
            Self::MinInterval { interval_ms, .. } => LimitKind::MinInterval { interval_ms },
        }
    }
}

const fn one_second() -> u64 {
    1000
}
