//! Why jobs wait, for the API.

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::{Availability, HeldJobs, Scheduler};
use egression_core::time::Wall;
use parking_lot::Mutex;

use super::dispatcher::Dispatcher;
use crate::clock::Clock;
use crate::store::rows::{ExecutionStatus, JobRow, ProgressRow};

/// Jobs of a channel that wait for the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingGroup {
    pub kind: WaitingKind,
    /// The limit, the reason of a parked connection, and so on.
    pub key: Option<String>,
    pub until: Option<Wall>,
    pub jobs: u64,
}

/// The dispatcher's view. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
    scheduler: Arc<Mutex<Scheduler>>,
    clock: Clock,
}

impl Dispatcher {
    pub fn view(&self, clock: Clock) -> View {
        View {
            scheduler: Arc::clone(&self.scheduler),
            clock,
        }
    }
}

impl View {
    /// Whether each connection may be used, as the scheduler sees it.
    pub fn availabilities(&self) -> Vec<(ConnectionId, Availability)> {
        let scheduler = self.scheduler.lock();
        scheduler
            .connections()
            .filter_map(|connection| {
                Some((connection, scheduler.availability(connection)?.clone()))
            })
            .collect()
    }

    /// Why the waiting jobs of an execution wait, by connection. The groups of a connection add up
    /// to its waiting jobs.
    pub fn waiting(&self, status: &ExecutionStatus) -> Vec<(ConnectionId, Vec<WaitingGroup>)> {
        let mut by_connection: Vec<(ConnectionId, Vec<WaitingGroup>)> = Vec::new();
        for row in &status.progress {
            let groups = match by_connection
                .iter_mut()
                .find(|(id, _)| *id == row.connection)
            {
                Some((_, groups)) => groups,
                None => {
                    by_connection.push((row.connection, Vec::new()));
                    &mut by_connection.last_mut().expect("just pushed").1
                }
            };
            for group in self.belt(status, row) {
                // Belts with the same reason form one group. A reason that each job has of its own
                // ends when the earliest one does.
                let same = |g: &&mut WaitingGroup| {
                    g.kind == group.kind
                        && (g.kind.is_stored() || (&g.key, g.until) == (&group.key, group.until))
                };
                match groups.iter_mut().find(same) {
                    Some(same) => {
                        same.jobs += group.jobs;
                        same.until = same.until.into_iter().chain(group.until).min();
                    }
                    None => groups.push(group),
                }
            }
        }
        by_connection
    }

    fn belt(&self, of: &ExecutionStatus, row: &ProgressRow) -> Vec<WaitingGroup> {
        let waiting = row.belt.states[0];
        let group = |kind, jobs| WaitingGroup {
            kind,
            key: None,
            until: of.first_end(row, kind),
            jobs,
        };
        let mut groups = vec![
            group(WaitingKind::Schedule, row.scheduled),
            group(WaitingKind::Retry, row.retrying),
            group(WaitingKind::Source, row.sourcing),
            group(WaitingKind::Blocked, row.blocked),
            group(
                WaitingKind::Dependency,
                row.belt.set_aside.saturating_sub(row.blocked),
            ),
        ];
        let ready = waiting
            .saturating_sub(row.scheduled + row.retrying + row.sourcing + row.belt.set_aside);
        let status =
            self.scheduler
                .lock()
                .lane_status(row.execution, row.connection, row.belt.belt);
        let held = status.held.min(ready);
        groups.push(group(WaitingKind::Partition, held));
        let until = status.blocked.until.map(|at| self.clock.wall_of(at));
        groups.push(WaitingGroup {
            kind: status.blocked.kind,
            key: status.blocked.key,
            until,
            jobs: ready - held,
        });
        groups.retain(|g| g.jobs > 0);
        groups
    }

    /// The jobs that a limit holds; the first `most` of them by name.
    pub fn held_by_limit(&self, key: &str, most: usize) -> HeldJobs {
        self.scheduler.lock().held_by_limit(key, most)
    }

    /// Why a waiting job waits: kind, key, until. `ahead` is the number of unfinished jobs before
    /// it in its key.
    pub fn job(
        &self,
        job: &JobRow,
        ahead: u32,
    ) -> Option<(WaitingKind, Option<String>, Option<Wall>)> {
        if job.state != JobState::Waiting {
            return None;
        }
        let connection = job.connection?;
        if let Some(kind) = job.waiting {
            let key = matches!(kind, WaitingKind::Blocked).then(|| job.partition_key.clone());
            return Some((kind, key, job.due_at));
        }
        let (status, behind) = {
            let scheduler = self.scheduler.lock();
            let status = scheduler.lane_status(job.seq.execution(), connection, job.belt);
            (status, scheduler.waits_for_object(connection, job.seq))
        };
        if !status.own && (ahead > 0 || behind) {
            let key = if ahead > 0 {
                job.partition_key.clone()
            } else {
                job.object.to_string()
            };
            return Some((WaitingKind::Partition, Some(key), None));
        }
        let until = status.blocked.until.map(|at| self.clock.wall_of(at));
        Some((status.blocked.kind, status.blocked.key, until))
    }
}
