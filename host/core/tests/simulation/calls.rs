//! Calls: limits, intents, the destination's answers and their settlement.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::{AfterCall, Head};
use egression_core::time::Mono;

use crate::store::Changes;
use crate::world::{Event, World};

/// Attempts after which a job fails.
const ATTEMPTS: u32 = 6;
/// How long a job waits for an object.
const PARENT_WAIT_MS: u64 = 4000;

impl World {
    pub(crate) fn start(&mut self, number: u64) {
        let claim = self.calls[&number].claim.clone();
        let draw = match self.destination.acquire(claim.connection, self.now) {
            Ok(draw) => draw,
            Err(until) => {
                let at = if until == Mono::FAR {
                    self.now.plus_ms(20)
                } else {
                    until.max(self.now.plus_us(100))
                };
                self.plan(at, Event::Start(number));
                return;
            }
        };
        self.destination.free(claim.connection);
        let mut sent = Vec::new();
        for head in &claim.heads {
            if self.store.jobs[&head.job].state == JobState::Waiting {
                self.check_start(head);
            }
            if self.store.start(head.job, self.now) {
                sent.push(*head);
            }
        }
        let changes = self.store.finish();
        self.tell(Event::Changed(changes));
        let call = self.calls.get_mut(&number).expect("the call is in flight");
        call.sent = sent;
        call.draw = Some(draw);
        let most_ms = if self.rng.percent(5) { 3000 } else { 150 };
        self.soon(most_ms, Event::Settle(number));
        self.limits_changed();
    }

    pub(crate) fn settle(&mut self, number: u64) {
        let call = self.calls.get_mut(&number).expect("the call is in flight");
        let (claim, sent, draw) = (
            call.claim.clone(),
            std::mem::take(&mut call.sent),
            call.draw.take(),
        );
        self.destination
            .finish(draw.expect("it was sent"), self.now);
        let outage = self.rng.percent(self.trouble.outage);
        let halve = (self.rng.percent(self.trouble.halve) && !sent.is_empty())
            .then(|| u32::try_from(sent.len() / 2).expect("small").max(1));
        let mut changes = Changes::default();
        let endings = claim
            .heads
            .iter()
            .map(|head| {
                let ending = match halve {
                    _ if !sent.iter().any(|s| s.job == head.job) => AfterCall::Left,
                    Some(cap) => self.again(head, head.attempts, Some(cap), &mut changes),
                    None if outage => self.retry(head, &mut changes),
                    None => self.outcome(head, &mut changes),
                };
                (*head, ending)
            })
            .collect();
        changes.absorb(self.store.finish());
        self.tell(Event::Ended(number, endings, changes));
    }

    fn outcome(&mut self, head: &Head, changes: &mut Changes) -> AfterCall {
        let mut roll = self.rng.below(100);
        let mut is = |percent: u64| {
            let hit = roll < percent;
            roll = roll.wrapping_sub(percent);
            hit
        };
        let trouble = self.trouble;
        if is(trouble.retry) {
            return self.retry(head, changes);
        }
        if is(trouble.again) {
            return self.again(head, head.attempts + 1, None, changes);
        }
        if is(trouble.throttle) {
            let until = self.now.plus_ms(self.rng.below(500));
            self.destination.throttle(head.connection, until);
            return self.again(head, head.attempts, None, changes);
        }
        if is(trouble.dependency) {
            return self.wait_for_parent(head, changes);
        }
        let (state, block) = if is(trouble.lost) {
            (JobState::Unknown, true)
        } else if is(trouble.reject) {
            (JobState::Rejected, self.rng.percent(20))
        } else {
            (JobState::Succeeded, false)
        };
        self.store.end(head.job, state, changes);
        if block {
            self.store.block((head.connection, head.key));
            self.soon(3000, Event::Unblock((head.connection, head.key)));
        }
        AfterCall::Left
    }

    fn again(
        &mut self,
        head: &Head,
        attempts: u32,
        call_cap: Option<u32>,
        changes: &mut Changes,
    ) -> AfterCall {
        // Every repeat counts here, so that a run ends.
        let attempts = attempts.max(head.attempts) + u32::from(self.rng.percent(30));
        if attempts >= ATTEMPTS {
            self.store.end(head.job, JobState::Failed, changes);
            return AfterCall::Left;
        }
        if self.store.executions[&head.job.execution()].cancelling {
            self.store.end(head.job, JobState::Cancelled, changes);
            changes.gone.push((head.connection, head.key, head.job));
        } else {
            self.store.waits(head.job, None, None, attempts, None);
        }
        AfterCall::Again {
            attempts,
            pinned: false,
            call_cap,
        }
    }

    fn retry(&mut self, head: &Head, changes: &mut Changes) -> AfterCall {
        let attempts = head.attempts + 1;
        if attempts >= ATTEMPTS {
            self.store.end(head.job, JobState::Failed, changes);
        } else {
            let due = self.now.plus_ms(1 + self.rng.below(1000));
            self.store.waits(
                head.job,
                Some(WaitingKind::Retry),
                Some(due),
                attempts,
                None,
            );
        }
        AfterCall::Left
    }

    /// It waits for an earlier job of another object, if there is one.
    fn wait_for_parent(&mut self, head: &Head, changes: &mut Changes) -> AfterCall {
        let me = self.store.jobs[&head.job].order();
        let earlier = |job: &&crate::store::Job| {
            !job.state.is_terminal()
                && job.head.seal > 0
                && job.head.connection == head.connection
                && job.head.object != head.object
                && job.order() < me
        };
        let parents: Vec<JobSeq> = self
            .store
            .jobs
            .values()
            .filter(earlier)
            .map(|job| job.head.job)
            .collect();
        if parents.is_empty() {
            return self.retry(head, changes);
        }
        let parent = parents[usize::try_from(self.rng.below(parents.len() as u64)).expect("small")];
        let until = self.now.plus_ms(PARENT_WAIT_MS);
        self.store.waits(
            head.job,
            Some(WaitingKind::Dependency),
            Some(until),
            head.attempts,
            Some(parent),
        );
        AfterCall::Left
    }
}
