//! The host around the scheduler in virtual time. Reads and calls take time, and their answers
//! arrive in any order.

use std::collections::btree_map::OccupiedEntry;
use std::collections::{BTreeMap, HashMap};

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use egression_core::domain::state::JobState;
use egression_core::scheduler::limits::Acquisition;
use egression_core::scheduler::{
    AfterCall, Availability, Claim, ConnectionRules, Head, LaneKey, Need, Scheduler,
    SchedulerBounds,
};
use egression_core::time::Mono;

use crate::checks::Checks;
use crate::destination::Destination;
use crate::rng::Rng;
use crate::store::{Changes, Key, Page, Store};

/// More events than any run needs. A run with more of them never ends.
const MOST_EVENTS: u64 = 400_000;

/// How often each kind of trouble happens, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) retry: u64,
    pub(crate) again: u64,
    pub(crate) throttle: u64,
    pub(crate) dependency: u64,
    pub(crate) lost: u64,
    pub(crate) reject: u64,
    pub(crate) halve: u64,
    pub(crate) outage: u64,
    pub(crate) unread: u64,
    /// Changes reach the scheduler in the store's order. The counters carry no age, so only then
    /// the order of belts is certain.
    pub(crate) ordered: bool,
}

#[derive(Debug)]
pub(crate) enum Event {
    Submit(ExecutionSeq, Vec<(Head, Option<Mono>)>),
    Pause(ExecutionSeq, bool),
    Cancel(ExecutionSeq),
    CancelJob(JobSeq),
    Gate(ConnectionId, Availability),
    Remove(ConnectionId),
    Restore(ConnectionId),
    Unblock(Key),
    Crash,
    Sealed(ExecutionSeq),
    ReadPage(LaneKey, Option<JobSeq>),
    Page(LaneKey, Page),
    ReadHeads(Vec<Key>),
    ReadReleased(Vec<JobSeq>),
    Found(Vec<Head>),
    Due,
    FellDue(Vec<Head>, Changes),
    OpenBelt(ExecutionSeq, ConnectionId, u32),
    AbortBelts(ExecutionSeq, ConnectionId, u32),
    Orphans(Vec<JobSeq>),
    Changed(Changes),
    Start(u64),
    Settle(u64),
    Ended(u64, Vec<(Head, AfterCall)>, Changes),
}

impl Event {
    /// It happens even while the host is down.
    const fn is_outside(&self) -> bool {
        use Event::*;
        matches!(
            self,
            Submit(..)
                | Pause(..)
                | Cancel(_)
                | CancelJob(_)
                | Gate(..)
                | Remove(_)
                | Restore(_)
                | Unblock(_)
                | Crash
        )
    }
}

/// A call between its claim and its end.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) claim: Claim,
    pub(crate) sent: Vec<Head>,
    pub(crate) draw: Option<Acquisition>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) now: Mono,
    pub(crate) scheduler: Scheduler,
    pub(crate) store: Store,
    pub(crate) destination: Destination,
    pub(crate) trouble: Trouble,
    pub(crate) rng: Rng,
    pub(crate) checks: Checks,
    pub(crate) rules: BTreeMap<ConnectionId, ConnectionRules>,
    pub(crate) availability: HashMap<ConnectionId, Availability>,
    pub(crate) removed: BTreeMap<ConnectionId, bool>,
    pub(crate) calls: BTreeMap<u64, Call>,
    bounds: SchedulerBounds,
    events: BTreeMap<(Mono, u64), Event>,
    numbers: u64,
    due_under_way: bool,
    /// When the last change so far will be reported.
    told: Mono,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        bounds: SchedulerBounds,
        rules: BTreeMap<ConnectionId, ConnectionRules>,
        destination: Destination,
        trouble: Trouble,
        rng: Rng,
    ) -> Self {
        let mut store = Store::default();
        store.rules = rules
            .iter()
            .map(|(id, rules)| (*id, rules.belt_on_failure))
            .collect();
        let mut world = Self {
            seed,
            now: Mono(0),
            scheduler: Scheduler::new(bounds),
            store,
            destination,
            trouble,
            rng,
            checks: Checks::default(),
            availability: HashMap::new(),
            removed: BTreeMap::new(),
            calls: BTreeMap::new(),
            rules,
            bounds,
            events: BTreeMap::new(),
            numbers: 0,
            due_under_way: false,
            told: Mono(0),
        };
        world.restart();
        world
    }

    /// Plans an event.
    pub(crate) fn plan(&mut self, at: Mono, event: Event) {
        self.numbers += 1;
        self.events.insert((at, self.numbers), event);
    }

    pub(crate) fn soon(&mut self, most_ms: u64, event: Event) {
        let at = self.now.plus_us(1 + self.rng.below(most_ms * 1000));
        self.plan(at, event);
    }

    /// Plans the report of a change to the scheduler; in ordered worlds, in the store's order.
    pub(crate) fn tell(&mut self, event: Event) {
        let mut at = self.now.plus_us(1 + self.rng.below(10_000));
        if self.trouble.ordered {
            at = at.max(self.told);
            self.told = at;
        }
        self.plan(at, event);
    }

    /// Runs until nothing happens any more. Then every job has ended.
    pub(crate) fn run(&mut self) {
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(
                steps < MOST_EVENTS,
                "seed {}: turns in circles at {:?}",
                self.seed,
                self.now
            );
            self.pump();
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let due = self.store.next_due().filter(|_| !self.due_under_way);
            let Some(at) = [event, due, self.scheduler.timer()]
                .into_iter()
                .flatten()
                .min()
            else {
                break;
            };
            self.now = self.now.max(at);
            if due.is_some_and(|due| due <= self.now) {
                self.due_under_way = true;
                self.soon(5, Event::Due);
            }
            while let Some(event) = self
                .events
                .first_entry()
                .filter(|entry| entry.key().0 <= self.now)
                .map(OccupiedEntry::remove)
            {
                self.happens(event);
            }
        }
        self.check_all_ended();
    }

    /// The dispatcher's work after each message.
    fn pump(&mut self) {
        while let Some(claim) = self.scheduler.next(self.now, &self.destination) {
            self.check_claim(&claim);
            self.destination.reserve(claim.connection);
            self.numbers += 1;
            let number = self.numbers;
            self.calls.insert(
                number,
                Call {
                    claim,
                    sent: Vec::new(),
                    draw: None,
                },
            );
            self.soon(10, Event::Start(number));
        }
        let mut keys = Vec::new();
        for need in self.scheduler.needs() {
            self.checks.reads += 1;
            match need {
                Need::Page { lane, after } => self.soon(8, Event::ReadPage(lane, after)),
                Need::Head { connection, key } => keys.push((connection, key)),
                Need::OpenBelt {
                    execution,
                    connection,
                    belt,
                } => self.soon(10, Event::OpenBelt(execution, connection, belt)),
                Need::AbortBelts {
                    execution,
                    connection,
                    belt,
                } => self.soon(10, Event::AbortBelts(execution, connection, belt)),
            }
        }
        if !keys.is_empty() {
            self.soon(8, Event::ReadHeads(keys));
        }
        self.check_window(self.bounds);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Submit(seq, jobs) => {
                self.store.seal(seq, jobs);
                self.soon(10, Event::Sealed(seq));
            }
            Event::Pause(seq, paused) => {
                if let Some(execution) = self.store.executions.get_mut(&seq) {
                    execution.paused = paused;
                    self.scheduler.pause(seq, paused);
                }
            }
            Event::Cancel(seq) => {
                if let Some(execution) = self.store.executions.get_mut(&seq) {
                    execution.cancelling = true;
                    let jobs = self.store.jobs_of(seq);
                    self.withdrawn(jobs, JobState::Cancelled);
                }
            }
            Event::CancelJob(job) if self.store.jobs.contains_key(&job) => {
                self.withdrawn(vec![job], JobState::Cancelled)
            }
            Event::CancelJob(_) => {}
            Event::Gate(connection, availability) => {
                self.availability.insert(connection, availability.clone());
                self.scheduler.set_availability(connection, availability);
            }
            Event::Remove(connection) => {
                self.removed.insert(connection, true);
                self.scheduler.disconnect(connection);
            }
            Event::Restore(connection) => {
                self.removed.remove(&connection);
                self.connect(connection);
            }
            Event::Unblock(key) => {
                let changes = self.store.unblock(key);
                self.tell(Event::Changed(changes));
            }
            Event::Crash => self.crash(),
            inside => self.inside(inside),
        }
    }

    fn inside(&mut self, event: Event) {
        match event {
            Event::Sealed(seq) => self.open(seq),
            // The store did not answer: the read is repeated.
            Event::ReadPage(..) | Event::ReadHeads(_) if self.rng.percent(self.trouble.unread) => {
                self.soon(8, event);
            }
            Event::ReadPage(lane, after) => {
                let page = self.store.lane_page(lane, after, self.bounds.page);
                self.soon(8, Event::Page(lane, page));
            }
            Event::Page(lane, page) => {
                self.scheduler
                    .page(lane, &page.heads, &page.held, page.next, self.now)
            }
            Event::ReadHeads(keys) => {
                let heads = self.store.heads_of_keys(&keys, self.now);
                self.soon(8, Event::Found(heads));
            }
            Event::ReadReleased(jobs) => {
                let heads = self.store.heads(&jobs);
                self.soon(8, Event::Found(heads));
            }
            Event::Found(heads) => self.scheduler.found(&heads, self.now),
            Event::Due => {
                let (heads, changes) = self.store.fall_due(self.now, 50);
                self.due_under_way = false;
                self.tell(Event::FellDue(heads, changes));
            }
            Event::FellDue(heads, changes) => {
                self.scheduler.found(&heads, self.now);
                self.changed(changes);
            }
            Event::OpenBelt(seq, connection, belt) => {
                self.store
                    .progress
                    .get_mut(&(seq, connection, belt))
                    .expect("there")
                    .opened = true;
            }
            Event::AbortBelts(seq, connection, belt) => {
                let later = |job: &JobSeq| {
                    let head = self.store.jobs[job].head;
                    head.connection == connection && head.belt >= belt
                };
                let jobs = self.store.jobs_of(seq).into_iter().filter(later).collect();
                self.withdrawn(jobs, JobState::Cancelled);
            }
            Event::Orphans(jobs) => self.withdrawn(jobs, JobState::Failed),
            Event::Changed(changes) => self.changed(changes),
            Event::Start(call) => self.start(call),
            Event::Settle(call) => self.settle(call),
            Event::Ended(call, endings, changes) => self.ended(call, &endings, changes),
            outside => unreachable!("{outside:?}"),
        }
    }

    fn open(&mut self, seq: ExecutionSeq) {
        let Some(execution) = self.store.executions.get(&seq).filter(|e| e.unfinished > 0) else {
            return;
        };
        self.scheduler
            .open(seq, execution.paused, self.store.belts(seq));
    }

    fn connect(&mut self, connection: ConnectionId) {
        self.scheduler.connect(self.rules[&connection].clone());
        let availability = self
            .availability
            .get(&connection)
            .cloned()
            .unwrap_or_default();
        self.scheduler.set_availability(connection, availability);
    }

    fn withdrawn(&mut self, jobs: Vec<JobSeq>, state: JobState) {
        let changes = self.store.withdraw(jobs, state);
        self.tell(Event::Changed(changes));
    }

    /// Reports a change in the store to the scheduler.
    fn changed(&mut self, changes: Changes) {
        self.scheduler.gone(
            &changes
                .gone
                .iter()
                .map(|(_, _, job)| *job)
                .collect::<Vec<_>>(),
        );
        self.scheduler.progress(changes.progress);
        for seq in changes.completed {
            self.scheduler.close(seq);
        }
        if !changes.released.is_empty() {
            self.soon(8, Event::ReadReleased(changes.released));
        }
        if !changes.orphaned.is_empty() {
            self.soon(8, Event::Orphans(changes.orphaned));
        }
    }

    fn ended(&mut self, number: u64, endings: &[(Head, AfterCall)], changes: Changes) {
        let call = self.calls.remove(&number).expect("the call was in flight");
        let type_hash = call.claim.type_hash;
        self.scheduler
            .ended(call.claim.connection, type_hash, endings, self.now);
        self.changed(changes);
        self.limits_changed();
    }

    pub(crate) fn limits_changed(&mut self) {
        let connections: Vec<_> = self.scheduler.connections().collect();
        for connection in connections {
            self.scheduler.limits_changed(connection);
        }
    }

    /// Memory is lost, and jobs in flight are recovered.
    fn crash(&mut self) {
        self.events.retain(|_, event| event.is_outside());
        for (_, call) in std::mem::take(&mut self.calls) {
            if let Some(draw) = call.draw {
                self.destination.finish(draw, self.now);
            }
            for head in call.sent {
                self.store.waits(head.job, None, None, head.attempts, None);
            }
        }
        self.store.finish();
        self.destination.restart();
        self.due_under_way = false;
        self.scheduler = Scheduler::new(self.bounds);
        self.restart();
        // The store reports the same orphans again later.
        let orphans: Vec<JobSeq> = self.store.orphans();
        if !orphans.is_empty() {
            self.soon(8, Event::Orphans(orphans));
        }
    }

    fn restart(&mut self) {
        let connections: Vec<_> = self
            .rules
            .keys()
            .copied()
            .filter(|id| !self.removed.contains_key(id))
            .collect();
        for connection in connections {
            self.connect(connection);
        }
        let executions: Vec<_> = self.store.executions.keys().copied().collect();
        for seq in executions {
            self.open(seq);
        }
    }
}
