//! The shape of a limit, shared by channels, connections, sources and sandbox scenarios.

use egression_core::scheduler::limits::LimitKind;
use egression_core::time::Wall;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which connections share a limit.
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
    /// All channels that use one connector.
    Connector,
}

/// A limit on requests to a destination or a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LimitDocument {
    /// On average `rate` requests (or cost units) per `per_ms`, and at most `burst` at once.
    TokenBucket {
        /// Which connections share the limit.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The name of the cost that the limit counts; the connector states the cost of each
        /// request. Without it, the limit counts requests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counts: Option<String>,
        /// Requests or cost units per `per_ms`.
        #[schema(minimum = 1)]
        rate: u32,
        /// The period of `rate`, in milliseconds.
        #[serde(default = "one_second")]
        #[schema(minimum = 1)]
        per_ms: u64,
        /// The most requests or cost units at once after a pause. A request that costs more is
        /// denied.
        #[schema(minimum = 1)]
        burst: u32,
        /// The operations that the limit covers. If empty, it covers every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At most `max` requests (or cost units) in any period of `window_ms`, or, with an `anchor`,
    /// in each of the consecutive windows.
    Window {
        /// Which connections share the limit.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The name of the cost that the limit counts; the connector states the cost of each
        /// request. Without it, the limit counts requests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counts: Option<String>,
        /// Requests or cost units in the window. A request that costs more is denied.
        #[schema(minimum = 1)]
        max: u32,
        /// The window's length in milliseconds.
        #[schema(minimum = 1)]
        window_ms: u64,
        /// For a destination that resets its count at fixed times: an instant (RFC 3339) at which
        /// one of its windows begins, such as `2026-01-01T00:00:00-08:00` for midnight in Los
        /// Angeles. Without it, the window slides.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<String>,
        /// The operations that the limit covers. If empty, it covers every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At most `max` requests at once.
    Concurrency {
        /// Which connections share the limit.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Concurrent requests.
        #[schema(minimum = 1)]
        max: u32,
        /// The operations that the limit covers. If empty, it covers every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
    /// At least `interval_ms` between two requests.
    MinInterval {
        /// Which connections share the limit.
        #[serde(default)]
        scope: LimitScope,
        /// A name that a connector's throttle or observation can refer to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Milliseconds between the starts of two requests.
        #[schema(minimum = 1)]
        interval_ms: u64,
        /// The operations that the limit covers. If empty, it covers every request.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
    },
}

impl LimitDocument {
    pub fn scope(&self) -> LimitScope {
        self.common().0
    }

    pub fn name(&self) -> Option<&str> {
        self.common().1
    }

    /// The operations that the limit covers; empty if it covers every request.
    pub fn operations(&self) -> &[String] {
        self.common().2
    }

    fn common(&self) -> (LimitScope, Option<&str>, &[String]) {
        let (Self::TokenBucket {
            scope,
            name,
            operations,
            ..
        }
        | Self::Window {
            scope,
            name,
            operations,
            ..
        }
        | Self::Concurrency {
            scope,
            name,
            operations,
            ..
        }
        | Self::MinInterval {
            scope,
            name,
            operations,
            ..
        }) = self;
        (*scope, name.as_deref(), operations)
    }

    /// The limit as the scheduler and the gate count it.
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
                // Validation refused an anchor that cannot be parsed.
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

    /// The name of the cost that the limit counts; none if it counts requests.
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
