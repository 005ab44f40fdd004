//! What happened to jobs: read from the store, found to be heads, gone, or back from a call.
//!
//! Each job that leaves memory makes the scheduler look up the head of its key, because the next
//! job of the key may have become ready without a report. So no job is lost. A report may be older
//! than what is known. An outdated head is at worst claimed once more, and the store has the last
//! word when the intent is opened.

use std::collections::BTreeSet;

use super::claim::AfterCall;
use super::head::{Head, LaneKey};
use super::memory::SlotState;
use super::scheduler::Scheduler;
use crate::domain::ids::{ConnectionId, JobSeq, TypeHash};
use crate::domain::partition::KeyHash;
use crate::time::Mono;

impl Scheduler {
    /// A page of a lane was read: its heads, the keys of jobs that are behind another job, and the
    /// place to read on from.
    pub fn page(
        &mut self,
        key: LaneKey,
        heads: &[Head],
        held: &[KeyHash],
        next: Option<JobSeq>,
        now: Mono,
    ) {
        if !self.answered(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&key.connection) else {
            return;
        };
        connection
            .window
            .take_over(key, heads, held.len(), next, now);
        for behind in held {
            match connection.window.slots.get_mut(behind) {
                Some(slot) => slot.more = true,
                // The job in front may have ended since the read. Then nothing else would bring up
                // the next one.
                None => {
                    connection.window.pending_head_lookups.insert(*behind);
                }
            }
        }
        connection.window.reconsider(key);
        self.touch(key.connection);
    }

    /// Heads were found: the next job of a key, or jobs whose wait ended.
    pub fn found(&mut self, heads: &[Head], now: Mono) {
        for head in heads {
            // A job of a closed belt or a paused execution is read with its lane.
            if !self.is_open(head) {
                continue;
            }
            let Some(connection) = self
                .connections
                .get_mut(&head.connection)
                .filter(|c| !c.removed)
            else {
                continue;
            };
            if let Some(lane) = connection.window.lanes.get_mut(&head.lane()) {
                lane.held = lane.held.saturating_sub(1);
            }
            if connection.window.has_room_for(head) {
                connection.window.add(*head, now);
            } else {
                // A hundred thousand jobs may become due at once. They are read with their lane
                // once there is room.
                connection.window.read_lane_again(head.lane());
            }
            self.touch(head.connection);
        }
    }

    /// Jobs ended outside of a call: canceled or expired. A job that is not in memory may have been
    /// in front of others of its key, and its key is not known here. So the lanes of its connection
    /// are read from the start again, once for all of the jobs. A look-up per key would cost one
    /// read for each of a million canceled jobs.
    pub fn gone(&mut self, jobs: &[JobSeq]) {
        let mut again = BTreeSet::new();
        for job in jobs {
            let ids: Vec<_> = match self.executions.get(&job.execution()) {
                Some(execution) => execution.belts.keys().copied().collect(),
                None => self.connections.keys().copied().collect(),
            };
            // A job belongs to one connection.
            if !ids.into_iter().any(|id| self.withdraw(id, *job)) {
                let execution = self.executions.get(&job.execution());
                again.extend(
                    self.connections
                        .keys()
                        .filter(|id| execution.is_none_or(|e| e.belts.contains_key(id))),
                );
            }
        }
        for id in again {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.window.read_again();
            }
            self.touch(id);
        }
    }

    /// A call ended, with the next step of each of its jobs.
    pub fn ended(
        &mut self,
        id: ConnectionId,
        type_hash: TypeHash,
        jobs: &[(Head, AfterCall)],
        now: Mono,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.calls = connection.calls.saturating_sub(1);
        if let Some(calls) = connection.calls_of_type.get_mut(&type_hash) {
            *calls = calls.saturating_sub(1);
        }
        for (head, after) in jobs {
            let open = !connection.removed
                && self
                    .executions
                    .get(&head.job.execution())
                    .is_some_and(|e| !e.paused);
            match after {
                AfterCall::Again {
                    attempts,
                    pinned,
                    call_cap,
                } if open => {
                    if let Some(cap) = call_cap {
                        connection.call_caps.insert(head.job, (*cap).max(1));
                    }
                    connection.window.put_back(
                        Head {
                            attempts: *attempts,
                            pinned: *pinned,
                            ..*head
                        },
                        now,
                    );
                }
                // A job of a paused execution is read with its lane.
                AfterCall::Again { call_cap, .. } | AfterCall::Waits { call_cap } => {
                    if let (Some(cap), false) = (call_cap, connection.removed) {
                        connection.call_caps.insert(head.job, (*cap).max(1));
                    }
                    connection.window.release(head);
                    connection.window.pending_head_lookups.insert(head.key);
                }
                AfterCall::Left => {
                    connection.call_caps.remove(&head.job);
                    connection.window.release(head);
                    connection.window.pending_head_lookups.insert(head.key);
                }
            }
        }
        self.touch(id);
        self.remove_if_idle(id);
    }

    /// A call of this type sent this many requests for its items.
    pub fn sent(&mut self, id: ConnectionId, type_hash: TypeHash, items: u32, requests: u32) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sent(type_hash, items, requests);
        }
    }

    /// Counts the answer to a read. False: it says nothing about a present lane.
    fn answered(&mut self, key: LaneKey) -> bool {
        let Some(connection) = self.connections.get_mut(&key.connection) else {
            return false;
        };
        let current = connection.window.read_queue.answered(key);
        if !current {
            connection.window.reconsider(key);
        }
        self.touch(key.connection);
        self.remove_if_idle(key.connection);
        current
    }

    /// The belt of a head is open and has lanes, and its execution is not paused.
    fn is_open(&self, head: &Head) -> bool {
        let Some(execution) = self
            .executions
            .get(&head.job.execution())
            .filter(|e| !e.paused)
        else {
            return false;
        };
        let Some(belts) = execution.belts.get(&head.connection) else {
            return false;
        };
        belts
            .iter()
            .any(|belt| belt.belt == head.belt && belt.opened && belt.finished() < belt.total)
    }

    /// Forgets a job that is gone. True: it was in memory. A job in flight stays until its call
    /// ends.
    fn withdraw(&mut self, id: ConnectionId, job: JobSeq) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        connection.call_caps.remove(&job);
        let Some(slot) = connection
            .window
            .jobs
            .get(&job)
            .and_then(|key| connection.window.slots.get(key))
            .copied()
        else {
            return false;
        };
        if slot.state != SlotState::InFlight {
            connection.window.unload(&slot.head);
            connection.window.pending_head_lookups.insert(slot.head.key);
            self.touch(id);
        }
        true
    }
}
