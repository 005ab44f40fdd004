//! The shape of a limit, the same in a channel, a connection override, a source and a sandbox
//! scenario.

use egression_core::scheduler::limits::LimitKind;
use egression_core::time::Wall;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who shares a limit.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    ToSchema,
)]
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
    /// At most `rate` per `per_ms`, and `burst` at once: requests, or what they cost.
    TokenBucket {
        /// Who shares it.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it counts: the cost of this name, as the connector states it for each request.
        /// None: requests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counts: Option<String>,
        /// As many per `per_ms`.
        rate: u32,
        /// The length of time for `rate`, in milliseconds.
        #[serde(default = "one_second")]
        per_ms: u64,
        /// As many at once after a pause. A request that costs more is denied.
        burst: u32,
        /// The operations that it covers; empty: every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At most `max` in any `window_ms`, or with an `anchor` in each of the windows that follow one
    /// another: requests, or what they cost.
    Window {
        /// Who shares it.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it counts: the cost of this name, as the connector states it for each request.
        /// None: requests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counts: Option<String>,
        /// As many in the window. A request that costs more is denied.
        max: u32,
        /// The window's length in milliseconds.
        window_ms: u64,
        /// For a destination that starts anew at fixed times: an instant (RFC 3339) at which one of
        /// its windows begins, such as `2026-01-01T00:00:00-08:00` for midnight on the west coast.
        /// None: a window may begin anywhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<String>,
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
    pub fn kind(&self) -> LimitKind {
        match *self {
            Self::TokenBucket {
                rate,
                per_ms,
                burst,
                ..
            } => LimitKind::TokenBucket {
                rate,
                per_ms,
                burst,
            },
            Self::Window {
                max,
                window_ms,
                ref anchor,
                ..
            } => {
                // A document with an anchor that cannot be read was refused.
                match anchor
                    .as_deref()
                    .and_then(|text| Wall::parse_rfc3339(text).ok())
                {
                    Some(anchor) => LimitKind::FixedWindow {
                        max,
                        window_ms,
                        anchor,
                    },
                    None => LimitKind::Window { max, window_ms },
                }
            }
            Self::Concurrency { max, .. } => LimitKind::Concurrency { max },
            Self::MinInterval { interval_ms, .. } => LimitKind::MinInterval { interval_ms },
        }
    }

    /// The cost that it counts; none: requests.
    #[must_use]
    pub fn counts(&self) -> Option<&str> {
        match self {
            Self::TokenBucket { counts, .. } | Self::Window { counts, .. } => counts.as_deref(),
            Self::Concurrency { .. } | Self::MinInterval { .. } => None,
        }
    }
}

const fn one_second() -> u64 {
    1000
}
