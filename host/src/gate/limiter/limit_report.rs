//! A limit as it is now.

use egression_core::domain::ids::Owner;
use egression_core::scheduler::limits::{LimitKey, LimitKind};
use egression_core::time::Wall;

#[derive(Clone, Debug)]
pub struct LimitReport {
    pub key: LimitKey,
    /// None for an owner's own key: nothing limits it, but a throttle without a name closes it.
    pub kind: Option<LimitKind>,
    /// The name of the cost that it counts; none: it counts requests.
    pub counts: Option<String>,
    /// Who shares it.
    pub owners: Vec<Owner>,
    /// Requests since the start.
    pub admitted: u64,
    pub closed_until: Option<Wall>,
}
