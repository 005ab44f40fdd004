//! The invariants of every step.

use egression_core::domain::state::JobState;
use egression_core::scheduler::{Availability, Claim, Head, SchedulerBounds};
use egression_core::time::Mono;

use crate::world::World;

#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Reads that the scheduler requested from the store.
    pub(crate) reads: u64,
    pub(crate) claims: Vec<Claim>,
    /// When each of them started.
    pub(crate) started_at: Vec<Mono>,
}

impl World {
    pub(crate) fn check_claim(&mut self, claim: &Claim) {
        let seed = self.seed;
        let rules = &self.rules[&claim.connection];
        let first = claim.heads.first().expect("a call has jobs");
        let packing = rules
            .packing
            .get(&first.type_hash)
            .copied()
            .unwrap_or_default();
        assert!(
            claim.heads.len() <= packing.max_items as usize,
            "seed {seed}: {} items",
            claim.heads.len()
        );
        assert!(
            !self.removed.contains_key(&claim.connection),
            "seed {seed}: the connection is removed"
        );
        let availability = self
            .availability
            .get(&claim.connection)
            .cloned()
            .unwrap_or_default();
        assert_eq!(
            availability,
            Availability::Open,
            "seed {seed}: the connection is closed"
        );
        let running: Vec<&Claim> = self
            .calls
            .values()
            .map(|call| &call.claim)
            .filter(|other| other.connection == claim.connection)
            .collect();
        assert!(
            running.len() < rules.max_calls as usize,
            "seed {seed}: {} calls are running",
            running.len()
        );
        let of_type = running
            .iter()
            .filter(|other| other.heads[0].type_hash == first.type_hash)
            .count();
        assert!(
            packing.max_in_flight == 0 || of_type < packing.max_in_flight as usize,
            "seed {seed}: {of_type} calls of the type"
        );
        let under_way: Vec<&Head> = running.iter().flat_map(|other| &other.heads).collect();
        for (index, head) in claim.heads.iter().enumerate() {
            assert_eq!(
                (head.connection, head.type_hash),
                (claim.connection, first.type_hash),
                "seed {seed}: kinds are mixed"
            );
            assert!(
                packing.mixed_actions || head.action == first.action,
                "seed {seed}: actions are mixed"
            );
            let others = claim.heads[..index].iter().chain(under_way.iter().copied());
            for other in others {
                assert!(
                    other.key != head.key && other.object != head.object,
                    "seed {seed}: {head:?} together with {other:?}"
                );
            }
            let execution = head.job.execution();
            assert!(
                !self.store.executions[&execution].paused,
                "seed {seed}: execution {execution} is paused"
            );
            let belt = (execution, head.connection, head.belt);
            assert!(
                !self.trouble.ordered || self.store.was_open.contains(&belt),
                "seed {seed}: belt {belt:?} was never open"
            );
        }
        self.checks.claims.push(claim.clone());
        self.checks.started_at.push(self.now);
    }

    /// The first delivery of a job comes after those of earlier jobs of its key, except for those
    /// that were set aside.
    pub(crate) fn check_start(&self, head: &Head) {
        let job = &self.store.jobs[&head.job];
        if !job.was_sent && job.waiting.is_none() {
            let passed = self.store.passed_by(job);
            let passed = passed.map(|other| &self.store.jobs[&other]);
            assert!(
                passed.is_none(),
                "seed {} at {:?}: {job:?} overtakes {passed:?}",
                self.seed,
                self.now
            );
        }
    }

    pub(crate) fn check_window(&self, bounds: SchedulerBounds) {
        for connection in self.scheduler.connections() {
            let (loaded, _) = self.scheduler.load_of(connection);
            let most = bounds.window + bounds.page + 60;
            assert!(
                loaded <= most,
                "seed {}: {loaded} heads are loaded",
                self.seed
            );
        }
    }

    pub(crate) fn check_all_ended(&self) {
        let unfinished: Vec<_> = self
            .store
            .jobs
            .values()
            .filter(|job| !job.state.is_terminal())
            .collect();
        if let Some(job) = unfinished.iter().find(|job| {
            self.store.was_open.contains(&(
                job.head.job.execution(),
                job.head.connection,
                job.head.belt,
            ))
        }) {
            let head = job.head;
            let status =
                self.scheduler
                    .lane_status(head.job.execution(), head.connection, head.belt);
            let load = self.scheduler.load_of(head.connection);
            panic!(
                "seed {}: {} jobs are stuck, of an open belt {job:?}: {status:?}, load {load:?}",
                self.seed,
                unfinished.len()
            );
        }
        assert!(
            unfinished.is_empty(),
            "seed {}: {} jobs are stuck, the first is {:?}",
            self.seed,
            unfinished.len(),
            unfinished[0]
        );
        assert!(self.calls.is_empty(), "seed {}: calls are left", self.seed);
        let succeeded = self
            .store
            .jobs
            .values()
            .filter(|job| job.state == JobState::Succeeded && !job.was_sent)
            .count();
        assert_eq!(
            succeeded, 0,
            "seed {}: jobs succeeded that were never sent",
            self.seed
        );
        for connection in self.scheduler.connections() {
            assert_eq!(
                self.scheduler.load_of(connection),
                (0, 0),
                "seed {}: something is left in memory",
                self.seed
            );
        }
        let claimed: usize = self
            .checks
            .claims
            .iter()
            .map(|claim| claim.heads.len())
            .sum();
        let most = 40 * (self.store.jobs.len() + claimed) as u64 + 2000;
        assert!(
            self.checks.reads <= most,
            "seed {}: {} reads for {} jobs",
            self.seed,
            self.checks.reads,
            self.store.jobs.len()
        );
    }
}
