//! How jobs leave a delivery, and the sum that the dispatcher gets.

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::problem::Problem;
use egression_core::scheduler::{AfterCall, Claim, Head};
use egression_core::time::Wall;

use super::route::NoRoute;
use crate::store::rows::{Changes, Settlement, Transition};

/// What a delivery did.
#[derive(Debug)]
pub struct Finished {
    pub connection: ConnectionId,
    /// Each job of the claim, and whether the scheduler sees it again.
    pub jobs: Vec<(Head, AfterCall)>,
    /// What changed in the store.
    pub changes: Changes,
    /// The earliest end of a wait that was written.
    pub due: Option<Wall>,
    /// What the calls say about the connection as a whole.
    pub effect: Effect,
    /// The items of its calls, and the requests that wrote them.
    pub items: u32,
    pub requests: u32,
}

/// What a call says about its connection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Effect {
    /// Nothing, or no call was made.
    #[default]
    None,
    Healthy,
    /// The destination does not answer.
    Unavailable(Problem),
    Trapped(Problem),
    /// The credential or the settings are refused.
    Refused(Problem),
}

impl Finished {
    pub fn new(connection: ConnectionId) -> Self {
        Self {
            connection,
            jobs: Vec::new(),
            changes: Changes::default(),
            due: None,
            effect: Effect::None,
            items: 0,
            requests: 0,
        }
    }

    /// A call with this many items sent this many requests that write.
    pub const fn sent(&mut self, items: u32, requests: u32) {
        self.items = self.items.saturating_add(items);
        self.requests = self.requests.saturating_add(requests);
    }

    /// A delivery that failed: its jobs leave the scheduler's memory, and the store has their
    /// state.
    pub fn abandoned(connection: ConnectionId, heads: Vec<Head>) -> Self {
        let jobs = heads
            .into_iter()
            .map(|head| (head, AfterCall::Left))
            .collect();
        Self {
            jobs,
            ..Self::new(connection)
        }
    }

    /// A claim whose connection cannot be called.
    pub fn without_route(claim: Claim, missing: NoRoute) -> Self {
        let effect = match missing {
            NoRoute::Removed => Effect::None,
            NoRoute::NotLoaded(problem) => Effect::Refused(*problem),
        };
        Self {
            effect,
            ..Self::abandoned(claim.connection, claim.heads)
        }
    }
}

/// Jobs that leave a delivery: what the store writes about them, and what the scheduler does with
/// each.
#[derive(Debug, Default)]
pub struct Disposed {
    pub settlements: Vec<Settlement>,
    pub jobs: Vec<(Head, AfterCall)>,
    pub effect: Effect,
}

impl Disposed {
    /// The job ends or waits before any intent. One that waits keeps the cap on its next batch.
    pub fn aside(&mut self, head: Head, settlement: Settlement) {
        let ending = match settlement.to {
            Transition::Waits { .. } => AfterCall::Waits { call_cap: None },
            Transition::Ended { .. } => AfterCall::Left,
        };
        self.settlements.push(settlement);
        self.jobs.push((head, ending));
    }

    /// The jobs leave the scheduler's memory and stay in the store as they are.
    pub fn leave(&mut self, heads: impl IntoIterator<Item = Head>) {
        self.jobs
            .extend(heads.into_iter().map(|head| (head, AfterCall::Left)));
    }
}
