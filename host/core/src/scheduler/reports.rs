//! What the scheduler is told of jobs: read, come up, gone, ended.
//!
//! No job is lost on the way as long as each job that leaves memory makes its key be asked for: its
//! next job may have become ready behind it without anybody being told. Answers may be older than
//! what was told meanwhile; an old head is at worst claimed once more, and the store's word at the
//! claim is final.

use std::collections::BTreeSet;

use super::head::{Head, LaneKey};
use super::scheduler::{AfterCall, Scheduler};
use super::window::SlotState;
use crate::domain::ids::{ConnectionId, JobSeq, TypeHash};
use crate::domain::partition::KeyHash;
use crate::time::Mono;

impl Scheduler {
    /// A page of a lane was read: the heads, the keys of jobs that stand behind another, and where
    /// to read on.
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
        connection.take_over(key, heads, held.len(), next, now);
        for behind in held {
            match connection.slots.get_mut(behind) {
                Some(slot) => slot.more = true,
                // The job in front may have ended between the reading and now: then nobody else
                // would bring the next one up.
                None => {
                    connection.pending_head_lookups.insert(*behind);
                }
            }
        }
        connection.reconsider(key);
        self.touch(key.connection);
    }

    /// A page could not be read; it is asked for again.
    pub fn page_failed(&mut self, key: LaneKey) {
        if !self.answered(key) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&key.connection) else {
            return;
        };
        if let Some(lane) = connection.lanes.get_mut(&key) {
            lane.loading = false;
            lane.restarting = false;
        }
        connection.reconsider(key);
        self.touch(key.connection);
    }

    /// Heads came up: the next of a key, or jobs whose wait ended.
    pub fn found(&mut self, heads: &[Head], now: Mono) {
        for head in heads {
            // A job of a closed belt or a paused execution is read when its lane is.
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
            if let Some(lane) = connection.lanes.get_mut(&head.lane()) {
                lane.held = lane.held.saturating_sub(1);
            }
            if connection.has_room_for(head) {
                connection.add(*head, now);
            } else {
                // A hundred thousand jobs may fall due at once. They are read with their lane, when
                // there is room again.
                connection.read_lane_again(head.lane());
            }
            self.touch(head.connection);
        }
    }

    /// The heads of these keys could not be read; they are asked for again.
    pub fn heads_failed(&mut self, asked: &[(ConnectionId, KeyHash)]) {
        self.ask(asked.iter().copied());
    }

    /// Jobs ended outside of a call: cancelled, expired. Those that are not in memory may have
    /// stood in front of others of their keys, which are not known here: the lanes of their
    /// connections are read from the start again, once for all of the jobs. Asking for each of
    /// their keys would cost a look-up for each of a million cancelled jobs.
    pub fn gone(&mut self, jobs: &[JobSeq]) {
        let mut again = BTreeSet::new();
        for job in jobs {
            let ids: Vec<_> = match self.executions.get(&job.execution()) {
                Some(execution) => execution.belts.keys().copied().collect(),
                None => self.connections.keys().copied().collect(),
            };
            // A job is of one connection.
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
                connection.read_again();
            }
            self.touch(id);
        }
    }

    /// A call ended: what became of its jobs.
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
        for (head, ending) in jobs {
            let open = !connection.removed
                && self
                    .executions
                    .get(&head.job.execution())
                    .is_some_and(|e| !e.paused);
            match ending {
                AfterCall::Again {
                    attempts,
                    pinned,
                    call_cap,
                } if open => {
                    if let Some(cap) = call_cap {
                        connection.call_caps.insert(head.job, (*cap).max(1));
                    }
                    connection.put_back(
                        Head {
                            attempts: *attempts,
                            pinned: *pinned,
                            ..*head
                        },
                        now,
                    );
                }
                // One of a paused execution that goes again is read when its lane is.
                AfterCall::Again { call_cap, .. } | AfterCall::Waits { call_cap } => {
                    if let (Some(cap), false) = (call_cap, connection.removed) {
                        connection.call_caps.insert(head.job, (*cap).max(1));
                    }
                    connection.release(head);
                    connection.pending_head_lookups.insert(head.key);
                }
                AfterCall::Left => {
                    connection.call_caps.remove(&head.job);
                    connection.release(head);
                    connection.pending_head_lookups.insert(head.key);
                }
            }
        }
        self.touch(id);
        self.remove_if_idle(id);
    }

    /// Counts an answer to a read; false: it says nothing of a lane that is here now.
    fn answered(&mut self, key: LaneKey) -> bool {
        let Some(connection) = self.connections.get_mut(&key.connection) else {
            return false;
        };
        let current = connection.reading.answered(key);
        if !current {
            connection.reconsider(key);
        }
        self.touch(key.connection);
        self.remove_if_idle(key.connection);
        current
    }

    /// The belt of a head is open, as far as its lanes are made, and its execution is not paused.
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

    /// Forgets a job that is gone; true: it was in memory here. One under way stays until its call
    /// ends.
    fn withdraw(&mut self, id: ConnectionId, job: JobSeq) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else {
            return false;
        };
        connection.call_caps.remove(&job);
        let Some(slot) = connection
            .jobs
            .get(&job)
            .and_then(|key| connection.slots.get(key))
            .copied()
        else {
            return false;
        };
        if slot.state != SlotState::InFlight {
            connection.unload(&slot.head);
            connection.pending_head_lookups.insert(slot.head.key);
            self.touch(id);
        }
        true
    }

    fn ask(&mut self, keys: impl Iterator<Item = (ConnectionId, KeyHash)>) {
        for (id, key) in keys {
            if let Some(connection) = self.connections.get_mut(&id).filter(|c| !c.removed) {
                connection.pending_head_lookups.insert(key);
                self.touched.insert(id);
            }
        }
    }
}
