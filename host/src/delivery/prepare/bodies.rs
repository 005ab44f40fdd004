//! Gives each job its bytes: pinned by an earlier attempt, brought with the job, or read from its
//! source.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use egression_core::domain::action::Action;
use egression_core::domain::ids::{JobId, JobSeq, SourceId};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::State;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::body_checks::BodyChecks;
use super::eligibility::{Candidate, is_read};
use super::job_ids::JobIds;
use super::pinned_bytes::pin;
use crate::clock::Clock;
use crate::delivery::finished::Disposed;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::delivery::settle::history_events;
use crate::delivery::settle::settlement_builder::{ends, rejects, waits};
use crate::resolver::{Read, ResolveError, Resolved, Resolver};
use crate::store::Store;
use crate::store::rows::{ClaimRow, Pinned, Settlement};

#[derive(Debug)]
pub struct BodyReader {
    resolver: Arc<Resolver>,
    job_ids: JobIds,
    checks: BodyChecks,
    clock: Clock,
}

/// A body from a source, and how long the source took.
type ReadBody = Result<(Resolved, u64), ResolveError>;

impl BodyReader {
    pub fn new(store: Store, resolver: Arc<Resolver>, checks: BodyChecks, clock: Clock) -> Self {
        Self {
            resolver,
            job_ids: JobIds::new(store),
            checks,
            clock,
        }
    }

    /// Reads and checks the bodies of candidates.
    pub async fn read(
        &self,
        route: &Route,
        candidates: Vec<Candidate>,
        disposed: &mut Disposed,
    ) -> Vec<Work> {
        let mut bodies = self.read_sources(route, &candidates).await;
        let now = self.clock.wall();
        let mut work = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let head = candidate.head;
            let Some(job_id) = self.job_ids.get(head.job).await else {
                disposed.leave([head]);
                continue;
            };
            let body = bodies.remove(&head.job);
            match pinned_work(candidate, job_id, body, now) {
                Ok(item) => work.push(item),
                Err(settlement) => disposed.aside(head, *settlement),
            }
        }
        self.checks.check(route, work, now, disposed).await
    }

    /// Reads the bodies of sources again, because they are older than the channel allows.
    pub async fn read_again(
        &self,
        route: &Route,
        work: Vec<Work>,
        disposed: &mut Disposed,
    ) -> Vec<Work> {
        let (old, mut kept): (Vec<Work>, Vec<Work>) = work
            .into_iter()
            .partition(|item| is_read(&item.row, item.action()));
        let candidates = old.into_iter().map(Candidate::from).collect();
        kept.extend(self.read(route, candidates, disposed).await);
        // In the order of the claim, which is that of their keys.
        kept.sort_by_key(|item| item.head.order());
        kept
    }

    async fn read_sources(
        &self,
        route: &Route,
        candidates: &[Candidate],
    ) -> HashMap<JobSeq, ReadBody> {
        let mut by_source: BTreeMap<SourceId, Vec<(JobSeq, Read)>> = BTreeMap::new();
        for candidate in candidates.iter().filter(|candidate| candidate.is_read()) {
            let row = &candidate.row;
            if let Some(source) = row.source {
                let read = Read {
                    object: row.object.clone(),
                    traceparent: row.traceparent.clone(),
                };
                by_source.entry(source).or_default().push((row.job, read));
            }
        }
        let mut bodies = HashMap::new();
        for (source, asked) in by_source {
            let began = self.clock.mono();
            let (jobs, reads): (Vec<JobSeq>, Vec<Read>) = asked.into_iter().unzip();
            let subscription = &route.document.subscription;
            let answers = self.resolver.resolve(source, subscription, reads).await;
            let took_ms = self.clock.mono().since_ms(began);
            let answers = answers
                .into_iter()
                .map(|answer| answer.map(|body| (body, took_ms)));
            bodies.extend(jobs.into_iter().zip(answers));
        }
        bodies
    }
}

/// The job with its bytes and no references yet, or how it ends or waits.
fn pinned_work(
    candidate: Candidate,
    job_id: JobId,
    body: Option<ReadBody>,
    now: Wall,
) -> Result<Work, Box<Settlement>> {
    let Candidate { head, row, action } = candidate;
    let mut events = Vec::new();
    let pinned = match (&row.pinned, &row.payload, body) {
        (Some(pinned), ..) => pinned.clone(),
        (None, ..) if action == Action::Delete => pin(job_id, &row, action, None, row.revision),
        (None, Some(payload), _) => pin(job_id, &row, action, Some(payload.clone()), row.revision),
        (None, None, Some(Ok((body, took_ms)))) => {
            events.push(history_events::resolved(
                now,
                took_ms,
                body.body.len(),
                body.revision,
            ));
            pin(job_id, &row, action, Some(body.body), body.revision)
        }
        (None, None, Some(Err(error))) => return Err(Box::new(unread(&row, error, now))),
        (None, None, None) => {
            let message = "the job has no body and names no source to read it from";
            let problem = Problem::new("body.missing", message);
            return Err(Box::new(rejects(&row, problem, now)));
        }
    };
    if let Some(superseded) = older(&row, &pinned, now) {
        return Err(Box::new(superseded));
    }
    Ok(Work {
        head,
        row,
        job_id,
        pinned,
        references: Vec::new(),
        events,
    })
}

/// The end of a job whose body is older than the delivered one.
fn older(row: &ClaimRow, pinned: &Pinned, now: Wall) -> Option<Settlement> {
    let (ours, theirs) = (pinned.revision?, row.delivered_revision?);
    if row.pinned.is_some() || pinned.body.is_none() || ours >= theirs {
        return None;
    }
    let message = format!("revision {theirs} was delivered already; this is {ours}");
    let problem = Some(Problem::new("revision.older", message));
    Some(ends(row, State::Superseded { problem }, now))
}

/// A job whose body cannot be read ends or waits. One that already waits for the same reason gets
/// no new event: a source that is down for hours must not fill the history.
fn unread(row: &ClaimRow, error: ResolveError, now: Wall) -> Settlement {
    match error {
        ResolveError::Rejected(problem) => rejects(row, *problem, now),
        ResolveError::Unavailable { until, problem } => {
            let waits_already = row.problem_code.as_ref() == Some(&problem.code);
            let mut settlement = waits(row, WaitingKind::Source, Some(until), *problem, now);
            if waits_already {
                settlement.events.clear();
            }
            settlement
        }
    }
}
