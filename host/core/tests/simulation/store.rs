//! The store as the scheduler may rely on it: jobs, their order in keys, lanes, counters, waits.
//! Time is passed in.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use egression_core::domain::action::Action;
use egression_core::domain::belt::{BeltGate, BeltOnFailure, BeltProgress, gate, priority_bit};
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, TypeHash};
use egression_core::domain::object::ObjectHash;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::{Head, LaneKey};
use egression_core::time::Mono;

pub(crate) type Key = (ConnectionId, KeyHash);
/// A job's place in its key.
pub(crate) type Order = (i64, u32, JobSeq);

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) head: Head,
    pub(crate) state: JobState,
    pub(crate) waiting: Option<WaitingKind>,
    pub(crate) due: Option<Mono>,
    /// It was set aside at some time: others of its key may have passed it.
    pub(crate) was_aside: bool,
    pub(crate) was_sent: bool,
    pub(crate) parent: Option<JobSeq>,
}

impl Job {
    pub(crate) fn key(&self) -> Key {
        (self.head.connection, self.head.key)
    }

    pub(crate) fn order(&self) -> Order {
        (self.head.seal, self.head.belt, self.head.job)
    }

    fn is_unfinished(&self) -> bool {
        !self.state.is_terminal()
    }

    fn is_ready(&self, now: Mono) -> bool {
        self.state == JobState::Waiting
            && (self.waiting.is_none()
                || self.waiting == Some(WaitingKind::Retry)
                    && self.due.is_some_and(|due| due <= now))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Execution {
    seal: i64,
    pub(crate) paused: bool,
    pub(crate) cancelling: bool,
    pub(crate) unfinished: u64,
}

/// The changes of a transaction, for the scheduler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) progress: Vec<(ExecutionSeq, ConnectionId, BeltProgress)>,
    pub(crate) released: Vec<JobSeq>,
    pub(crate) orphaned: Vec<JobSeq>,
    pub(crate) gone: Vec<(ConnectionId, KeyHash, JobSeq)>,
    pub(crate) completed: Vec<ExecutionSeq>,
}

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) heads: Vec<Head>,
    pub(crate) held: Vec<KeyHash>,
    pub(crate) next: Option<JobSeq>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) jobs: BTreeMap<JobSeq, Job>,
    pub(crate) executions: BTreeMap<ExecutionSeq, Execution>,
    pub(crate) progress: BTreeMap<(ExecutionSeq, ConnectionId, u32), BeltProgress>,
    /// Belts that were open at some time.
    pub(crate) was_open: HashSet<(ExecutionSeq, ConnectionId, u32)>,
    pub(crate) rules: BTreeMap<ConnectionId, BeltOnFailure>,
    keys: BTreeMap<Key, BTreeSet<Order>>,
    blocked: HashSet<Key>,
    /// Waits that end at a fixed time.
    due: BTreeSet<(Mono, JobSeq)>,
    /// Jobs that wait for another, by that one.
    children: BTreeSet<(JobSeq, JobSeq)>,
    numbers: i64,
    touched: BTreeSet<(ExecutionSeq, ConnectionId, u32)>,
}

impl Store {
    pub(crate) fn number(&mut self) -> i64 {
        self.numbers += 1;
        self.numbers
    }

    /// Takes over and seals an execution. `due`: when a job is due, for those that are scheduled.
    pub(crate) fn seal(&mut self, seq: ExecutionSeq, jobs: Vec<(Head, Option<Mono>)>) {
        let seal = self.number();
        self.executions.insert(
            seq,
            Execution {
                seal,
                unfinished: jobs.len() as u64,
                ..Execution::default()
            },
        );
        for (mut head, due) in jobs {
            head.seal = if due.is_some() { 0 } else { seal };
            let blocked = self.blocked.contains(&(head.connection, head.key));
            let waiting = due
                .map(|_| WaitingKind::Schedule)
                .or(blocked.then_some(WaitingKind::Blocked));
            let job = Job {
                head,
                state: JobState::Waiting,
                waiting,
                due,
                was_aside: blocked,
                was_sent: false,
                parent: None,
            };
            let belt = self
                .progress
                .entry((seq, head.connection, head.belt))
                .or_default();
            belt.belt = head.belt;
            belt.total += 1;
            belt.priorities |= priority_bit(head.priority);
            self.count(&job, 1);
            self.place(&job, true);
            self.jobs.insert(head.job, job);
            self.mark_behind(head.job);
        }
        self.finish();
    }

    pub(crate) fn belts(&self, seq: ExecutionSeq) -> Vec<(ConnectionId, BeltProgress)> {
        let range = (seq, ConnectionId(i64::MIN), 0)..=(seq, ConnectionId(i64::MAX), u32::MAX);
        self.progress
            .range(range)
            .map(|((_, connection, _), belt)| (*connection, *belt))
            .collect()
    }

    pub(crate) fn lane_page(&self, lane: LaneKey, after: Option<JobSeq>, limit: usize) -> Page {
        let start = after.map_or(lane.execution.job(0), |job| JobSeq(job.0 + 1));
        let mut page = Page::default();
        let (mut rows, mut last) = (0, None);
        for (seq, job) in self.jobs.range(start..lane.execution.end()) {
            if job.head.lane() != lane || job.state != JobState::Waiting || job.waiting.is_some() {
                continue;
            }
            if rows == limit {
                page.next = last;
                break;
            }
            (rows, last) = (rows + 1, Some(*seq));
            if self.blocked.contains(&job.key()) {
                continue;
            }
            if self
                .first(job.key())
                .is_some_and(|first| first.head.job == *seq)
            {
                page.heads.push(job.head);
            } else if !page.held.contains(&job.head.key) {
                page.held.push(job.head.key);
            }
        }
        page
    }

    pub(crate) fn heads_of_keys(&self, keys: &[Key], now: Mono) -> Vec<Head> {
        let free = keys.iter().filter(|key| !self.blocked.contains(key));
        free.filter_map(|key| self.first(*key))
            .filter(|job| job.is_ready(now))
            .map(|job| job.head)
            .collect()
    }

    pub(crate) fn heads(&self, jobs: &[JobSeq]) -> Vec<Head> {
        let ready = jobs
            .iter()
            .filter_map(|job| self.jobs.get(job))
            .filter(|job| job.state == JobState::Waiting && job.waiting.is_none());
        let firsts = ready.filter(|job| {
            self.first(job.key())
                .is_some_and(|first| first.head.job == job.head.job)
        });
        firsts.map(|job| job.head).collect()
    }

    /// Earlier jobs of the key that should have been sent before this one.
    pub(crate) fn passed_by(&self, job: &Job) -> Option<JobSeq> {
        let earlier = self.keys.get(&job.key())?.range(..job.order());
        earlier
            .map(|(_, _, seq)| &self.jobs[seq])
            .find(|other| !other.was_sent && !other.was_aside)
            .map(|other| other.head.job)
    }

    pub(crate) fn next_due(&self) -> Option<Mono> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(crate) fn fall_due(&mut self, now: Mono, limit: usize) -> (Vec<Head>, Changes) {
        let due: Vec<Job> = self
            .due
            .iter()
            .take_while(|(due, _)| *due <= now)
            .take(limit)
            .map(|(_, seq)| self.jobs[seq].clone())
            .collect();
        let (mut changes, mut ready) = (Changes::default(), Vec::new());
        for job in due {
            let seq = job.head.job;
            if job.waiting == Some(WaitingKind::Dependency) {
                changes.orphaned.push(seq);
                self.change(seq, |job| job.due = None);
                continue;
            }
            let seal = if job.waiting == Some(WaitingKind::Schedule) {
                self.seal_when_due(&job)
            } else {
                job.head.seal
            };
            // With an old place it comes before jobs that may be in flight.
            let comes_in_front = seal == self.executions[&seq.execution()].seal
                && job.waiting == Some(WaitingKind::Schedule);
            self.change(seq, |job| {
                job.was_aside |= comes_in_front;
                job.head.seal = seal;
                job.due = None;
                job.waiting = None;
            });
            ready.push(seq);
        }
        let heads = self.heads(&ready);
        changes.absorb(self.finish());
        (heads, changes)
    }

    /// A scheduled job gets its place when it becomes due. If later belts of its execution wait for
    /// it, it takes the execution's place: with a later one it would wait behind jobs that wait for
    /// it.
    fn seal_when_due(&mut self, job: &Job) -> i64 {
        let (seq, connection) = (job.head.job.execution(), job.head.connection);
        let later = (seq, connection, job.head.belt + 1)..=(seq, connection, u32::MAX);
        if self
            .progress
            .range(later)
            .any(|(_, belt)| belt.finished() < belt.total)
        {
            self.executions[&seq].seal
        } else {
            self.number()
        }
    }

    /// The claim and the intent: true if the job may be sent and is in flight now.
    pub(crate) fn start(&mut self, seq: JobSeq, now: Mono) -> bool {
        let job = &self.jobs[&seq];
        if !job.is_ready(now) || self.blocked.contains(&job.key()) {
            return false;
        }
        self.change(seq, |job| {
            job.state = JobState::InFlight;
            job.waiting = None;
            job.due = None;
            job.was_sent = true;
        });
        true
    }

    pub(crate) fn waits(
        &mut self,
        seq: JobSeq,
        reason: Option<WaitingKind>,
        due: Option<Mono>,
        attempts: u32,
        parent: Option<JobSeq>,
    ) {
        self.change(seq, |job| {
            job.state = JobState::Waiting;
            job.waiting = reason;
            job.due = due;
            job.head.attempts = attempts;
            job.parent = parent;
        });
    }

    pub(crate) fn end(&mut self, seq: JobSeq, state: JobState, changes: &mut Changes) {
        self.change(seq, |job| {
            job.state = state;
            job.waiting = None;
            job.due = None;
        });
        let children: Vec<JobSeq> = self
            .children
            .range((seq, JobSeq(i64::MIN))..=(seq, JobSeq(i64::MAX)))
            .map(|(_, child)| *child)
            .collect();
        for child in children {
            if state == JobState::Succeeded {
                self.waits_no_more(child);
                changes.released.push(child);
            } else {
                changes.orphaned.push(child);
            }
        }
        let execution = self
            .executions
            .get_mut(&seq.execution())
            .expect("of a sealed execution");
        execution.unfinished -= 1;
        if execution.unfinished == 0 {
            changes.completed.push(seq.execution());
        }
    }

    fn waits_no_more(&mut self, seq: JobSeq) {
        self.change(seq, |job| {
            job.waiting = None;
            job.due = None;
        });
    }

    pub(crate) fn block(&mut self, key: Key) {
        self.blocked.insert(key);
        for seq in self.of_key(key, |job| {
            job.state == JobState::Waiting && job.waiting.is_none()
        }) {
            self.change(seq, |_| {});
        }
    }

    pub(crate) fn unblock(&mut self, key: Key) -> Changes {
        self.blocked.remove(&key);
        let released = self.of_key(key, |job| job.waiting == Some(WaitingKind::Blocked));
        for seq in &released {
            self.waits_no_more(*seq);
        }
        Changes {
            released,
            ..self.finish()
        }
    }

    fn of_key(&self, key: Key, which: impl Fn(&Job) -> bool) -> Vec<JobSeq> {
        self.keys
            .get(&key)
            .into_iter()
            .flatten()
            .map(|(_, _, seq)| *seq)
            .filter(|seq| which(&self.jobs[seq]))
            .collect()
    }

    /// Ends the waiting jobs among these.
    pub(crate) fn withdraw(&mut self, jobs: Vec<JobSeq>, state: JobState) -> Changes {
        let mut changes = Changes::default();
        for seq in jobs {
            if self.jobs[&seq].state == JobState::Waiting {
                let (connection, key) = self.jobs[&seq].key();
                changes.gone.push((connection, key, seq));
                self.end(seq, state, &mut changes);
            }
        }
        changes.absorb(self.finish());
        changes
    }

    /// Jobs whose wait for another job is over, without any reaction yet.
    pub(crate) fn orphans(&self) -> Vec<JobSeq> {
        let dead = |job: &&Job| {
            let parent = job.parent.and_then(|parent| self.jobs.get(&parent));
            job.waiting == Some(WaitingKind::Dependency)
                && (job.due.is_none() || parent.is_none_or(|parent| parent.state.is_terminal()))
        };
        self.jobs
            .values()
            .filter(dead)
            .map(|job| job.head.job)
            .collect()
    }

    pub(crate) fn jobs_of(&self, seq: ExecutionSeq) -> Vec<JobSeq> {
        self.jobs
            .range(seq.job(0)..seq.end())
            .map(|(seq, _)| *seq)
            .collect()
    }

    /// The counters that changed since the last time.
    pub(crate) fn finish(&mut self) -> Changes {
        let touched = std::mem::take(&mut self.touched);
        for (seq, connection, _) in &touched {
            let range = (*seq, *connection, 0)..=(*seq, *connection, u32::MAX);
            let belts: Vec<BeltProgress> =
                self.progress.range(range).map(|(_, belt)| *belt).collect();
            let rule = self.rules[connection];
            for (_, belt) in belts
                .iter()
                .enumerate()
                .filter(|(index, _)| gate(&belts, *index, rule) == BeltGate::Open)
            {
                self.was_open.insert((*seq, *connection, belt.belt));
            }
        }
        let progress = touched
            .into_iter()
            .map(|place| (place.0, place.1, self.progress[&place]))
            .collect();
        Changes {
            progress,
            ..Changes::default()
        }
    }

    /// The only way to change a job. A job that becomes ready in a blocked key is set aside.
    fn change(&mut self, seq: JobSeq, how: impl FnOnce(&mut Job)) {
        let mut job = self.jobs[&seq].clone();
        self.count(&job, -1);
        self.place(&job, false);
        how(&mut job);
        if job.state == JobState::Waiting
            && job.waiting.is_none()
            && self.blocked.contains(&job.key())
        {
            job.waiting = Some(WaitingKind::Blocked);
        }
        job.was_aside |= job.waiting.is_some_and(WaitingKind::is_set_aside);
        self.count(&job, 1);
        self.place(&job, job.is_unfinished());
        let marks = job.waiting == Some(WaitingKind::Dependency);
        let key = job.key();
        self.jobs.insert(seq, job);
        self.mark_behind(seq);
        if marks {
            for other in self.of_key(key, |_| true) {
                self.mark_behind(other);
            }
        }
    }

    /// A job behind one of its own object that waits for a parent is passed by other objects of the
    /// key, like that one.
    fn mark_behind(&mut self, seq: JobSeq) {
        let job = &self.jobs[&seq];
        let Some(key) = self.keys.get(&job.key()) else {
            return;
        };
        let waits = |other: &Job| {
            other.head.object == job.head.object && other.waiting == Some(WaitingKind::Dependency)
        };
        if key
            .range(..job.order())
            .any(|(_, _, other)| waits(&self.jobs[other]))
        {
            self.jobs.get_mut(&seq).expect("just read").was_aside = true;
        }
    }

    fn count(&mut self, job: &Job, by: i64) {
        let place = (job.head.job.execution(), job.head.connection, job.head.belt);
        let belt = self
            .progress
            .get_mut(&place)
            .expect("made when it was sealed");
        let state = &mut belt.states[job.state as usize];
        *state = state.checked_add_signed(by).expect("never below zero");
        if job.waiting.is_some_and(WaitingKind::is_set_aside) {
            belt.set_aside = belt
                .set_aside
                .checked_add_signed(by)
                .expect("never below zero");
        }
        self.touched.insert(place);
    }

    /// Scheduled jobs hold no place in a key.
    fn place(&mut self, job: &Job, there: bool) {
        if let Some(due) = job.due {
            put(&mut self.due, (due, job.head.job), there);
        }
        if let (Some(parent), Some(WaitingKind::Dependency)) = (job.parent, job.waiting) {
            put(&mut self.children, (parent, job.head.job), there);
        }
        if job.head.seal == 0 {
            return;
        }
        put(self.keys.entry(job.key()).or_default(), job.order(), there);
    }

    /// The first job that holds the key. One that waits for an object holds the later jobs of its
    /// own object only.
    fn first(&self, key: Key) -> Option<&Job> {
        let mut behind: HashSet<ObjectHash> = HashSet::new();
        for (_, _, seq) in self.keys.get(&key)? {
            let job = &self.jobs[seq];
            if job.waiting == Some(WaitingKind::Dependency) {
                behind.insert(job.head.object);
            } else if !behind.contains(&job.head.object) {
                return Some(job);
            }
        }
        None
    }
}

impl Changes {
    pub(crate) fn absorb(&mut self, later: Self) {
        self.progress.extend(later.progress);
        self.released.extend(later.released);
        self.orphaned.extend(later.orphaned);
        self.gone.extend(later.gone);
        self.completed.extend(later.completed);
    }
}

fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, there: bool) {
    if there {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

/// A head with everything but its place.
pub(crate) fn head(
    job: JobSeq,
    connection: i64,
    belt: u32,
    key: i64,
    object: i64,
    kind: (i64, Action),
    priority: i8,
) -> Head {
    let (type_hash, action) = kind;
    Head {
        job,
        connection: ConnectionId(connection),
        belt,
        key: KeyHash(key),
        object: ObjectHash(object),
        type_hash: TypeHash(type_hash),
        action,
        priority,
        attempts: 0,
        seal: 0,
        pinned: false,
    }
}
