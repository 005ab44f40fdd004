//! The scheduler's state and its turn loop.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::admission;
use super::bounds::SchedulerBounds;
use super::claim::Claim;
use super::connection::Connection;
use super::execution::Execution;
use super::limit_forecast::LimitForecast;
use super::needs::Need;
use super::turns::Turns;
use crate::domain::ids::{ConnectionId, ExecutionSeq};
use crate::time::Mono;

/// A blocked connection is tried again after this long at the latest, in milliseconds.
const MAX_TIMER_MS: u64 = 60_000;

#[derive(Debug, Default)]
pub struct Scheduler {
    pub(super) bounds: SchedulerBounds,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) executions: HashMap<ExecutionSeq, Execution>,
    pub(super) needs: VecDeque<Need>,
    /// Connections that may need something from the store.
    pub(super) touched: BTreeSet<ConnectionId>,
    pub(super) turns: Turns,
    /// When to try a connection again that waits for a limit or for a call to fill. At most one
    /// instant for each connection.
    pub(super) timers: BTreeSet<(Mono, ConnectionId)>,
}

impl Scheduler {
    pub fn new(bounds: SchedulerBounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Takes out what is needed from the store. The caller must answer each read.
    pub fn needs(&mut self) -> Vec<Need> {
        for id in std::mem::take(&mut self.touched) {
            let Some(connection) = self.connections.get_mut(&id).filter(|c| !c.removed) else {
                continue;
            };
            for key in std::mem::take(&mut connection.window.pending_head_lookups) {
                self.needs.push_back(Need::Head {
                    connection: id,
                    key,
                });
            }
            while let Some((lane, after)) = connection.window.next_read(self.bounds.page) {
                self.needs.push_back(Need::Page { lane, after });
            }
        }
        self.needs.drain(..).collect()
    }

    /// When to call [`Scheduler::next`] again although nothing happened.
    pub fn timer(&self) -> Option<Mono> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next call to start. `None`: nothing is admissible now.
    pub fn next(&mut self, now: Mono, limits: &dyn LimitForecast) -> Option<Claim> {
        self.fire_timers(now);
        while let Some((subscription, id)) = self.turns.front() {
            let Some(connection) = self.connections.get_mut(&id) else {
                self.turns.dequeue(subscription, id);
                continue;
            };
            match admission::admit(connection, &self.bounds, now, limits) {
                Ok(claim) => {
                    connection.blocked = None;
                    let weight = connection.rules.weight;
                    self.turns.advance(subscription, weight);
                    self.touched.insert(id);
                    return Some(claim);
                }
                Err(blocked) => {
                    let until = blocked.until;
                    connection.blocked = Some(blocked);
                    self.turns.dequeue(subscription, id);
                    self.set_timer(id, until, now);
                }
            }
        }
        None
    }

    /// The connection, unless it was removed.
    pub(super) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id).filter(|c| !c.removed)
    }

    /// A connection changed: it may have something to send, or need something from the store.
    pub(super) fn touch(&mut self, id: ConnectionId) {
        self.touched.insert(id);
        self.enqueue(id);
    }

    /// Forgets a removed connection once nothing of it is in flight.
    pub(super) fn remove_if_idle(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }

    /// Lets a connection take part in the turns, if it has something to send.
    pub(super) fn enqueue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id).filter(|c| c.has_candidates()) {
            self.turns.enqueue(connection.rules.subscription, id);
        }
    }

    /// Sets the connection's one timer. It fires after `now`, because an earlier instant would be a
    /// busy loop. It also fires within a minute, because a wait that follows the wall clock may end
    /// earlier than expected.
    fn set_timer(&mut self, id: ConnectionId, until: Option<Mono>, now: Mono) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let until = until.map(|at| at.clamp(now.plus_ms(1), now.plus_ms(MAX_TIMER_MS)));
        if let Some(before) = std::mem::replace(&mut connection.timer, until) {
            self.timers.remove(&(before, id));
        }
        if let Some(at) = until {
            self.timers.insert((at, id));
        }
    }

    fn fire_timers(&mut self, now: Mono) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.timer = None;
            }
            self.enqueue(id);
        }
    }
}
