//! Before the intent: what is still wanted, with which bytes, and what must be there first.

use std::collections::{BTreeMap, HashMap};

use egression_core::domain::action::Action;
use egression_core::domain::ids::{JobSeq, SourceId};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState};
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::{Claim, Ending, Head};
use egression_core::time::Wall;
use serde_json::Value;

use crate::delivery::deliver::Deliverer;
use crate::delivery::deliver::Effect;
use crate::delivery::invoke::slot_quota::ConcurrencyPermit;
use crate::delivery::prepare::references;
use crate::delivery::retry_until_stored::retry_until_stored;
use crate::delivery::settle::events;
use crate::delivery::work::{Route, Work, ends, fails, pin, waits, waits_for_source};
use crate::resolver::{Read, ResolveError, Resolved};
use crate::store::StoreError;
use crate::store::rows::{ClaimRow, NewIntent, Settlement, Transition};

#[derive(Debug, Default)]
pub struct Prepared {
    /// Jobs with an open intent.
    pub work: Vec<Work>,
    /// Jobs that end or wait before any intent; their endings are in `endings`.
    pub settlements: Vec<Settlement>,
    /// What becomes of the jobs that are not in `work`.
    pub endings: Vec<(Head, Ending)>,
    /// What the connector said of the connection when it was asked for lost sends.
    pub effect: Effect,
    /// Where the guest will run.
    pub place: Option<ConcurrencyPermit>,
}

impl Prepared {
    pub fn aside(&mut self, head: Head, settlement: Settlement) {
        let waits = matches!(settlement.to, Transition::Waits { .. });
        self.settlements.push(settlement);
        // What waits goes later as it would have gone now, alone if it must.
        self.endings.push((
            head,
            if waits {
                Ending::Waits { call_cap: None }
            } else {
                Ending::Left
            },
        ));
    }

    fn later(&mut self, head: Head, row: &ClaimRow) {
        let pinned = row.pinned.is_some();
        self.endings.push((
            head,
            Ending::Again {
                attempts: row.attempts,
                pinned,
                call_cap: None,
            },
        ));
    }
}

impl Deliverer {
    /// Makes a claim ready and opens the intents of what goes.
    pub async fn prepare(&self, route: &Route, claim: &Claim, call: i64) -> Prepared {
        let mut prepared = Prepared::default();
        let jobs: Vec<JobSeq> = claim.heads.iter().map(|head| head.job).collect();
        let rows = match retry_until_stored(&self.clock, || self.store.claim(&jobs)).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "a claim could not be read");
                prepared.endings = claim
                    .heads
                    .iter()
                    .map(|head| (*head, Ending::Left))
                    .collect();
                return prepared;
            }
        };
        let mut rows: HashMap<JobSeq, ClaimRow> =
            rows.into_iter().map(|row| (row.job, row)).collect();
        let now = self.clock.wall();
        let mut wanted = Vec::with_capacity(claim.heads.len());
        for head in &claim.heads {
            match rows
                .remove(&head.job)
                .filter(|row| row.state == JobState::Waiting)
            {
                Some(row) => match admissible(route, &row, now) {
                    Ok(action) => wanted.push((*head, row, action)),
                    Err(settlement) => prepared.aside(*head, *settlement),
                },
                // Cancelled or expired meanwhile.
                None => prepared.endings.push((*head, Ending::Left)),
            }
        }
        let began = self.clock.mono();
        let bodies = self.bodies(&wanted).await;
        let work = self
            .check_bodies(route, wanted, bodies, &mut prepared)
            .await;
        if work.is_empty() {
            return prepared;
        }
        // Waiting for a place may take as long as the calls before it do, and a question as long as
        // a call.
        prepared.place = self.places.take(route).await;
        let mut work = self.reconcile(route, call, work, &mut prepared).await;
        if self.clock.mono().since_ms(began) > route.channel.payload_max_age_ms {
            work = self.read_again(route, work, &mut prepared).await;
        }
        self.keep_within_bytes(route, &mut work, &mut prepared);
        self.wait_for_parents(route, &mut work, &mut prepared).await;
        self.open_intents(route, work, call, &mut prepared).await;
        prepared
    }

    /// Reads bodies anew that are older than the channel allows.
    async fn read_again(
        &self,
        route: &Route,
        work: Vec<Work>,
        prepared: &mut Prepared,
    ) -> Vec<Work> {
        let (old, mut kept): (Vec<Work>, Vec<Work>) = work
            .into_iter()
            .partition(|item| is_read(&item.row, item.action));
        let wanted: Vec<_> = old
            .into_iter()
            .map(|item| (item.head, item.row, item.action))
            .collect();
        let bodies = self.bodies(&wanted).await;
        kept.extend(self.check_bodies(route, wanted, bodies, prepared).await);
        // In the order of the claim, which is that of their keys.
        kept.sort_by_key(|item| item.head.order());
        kept
    }

    /// The bodies of jobs that bring none, by source.
    async fn bodies(
        &self,
        wanted: &[(Head, ClaimRow, Action)],
    ) -> HashMap<JobSeq, Result<(Resolved, u64), ResolveError>> {
        let mut by_source: BTreeMap<SourceId, Vec<(JobSeq, Read)>> = BTreeMap::new();
        for (_, row, action) in wanted {
            if let (true, Some(source)) = (is_read(row, *action), row.source) {
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
            let reads: Vec<Read> = asked.iter().map(|(_, read)| read.clone()).collect();
            let answers = self.resolver.resolve(source, reads).await;
            let took_ms = self.clock.mono().since_ms(began);
            bodies.extend(
                asked
                    .into_iter()
                    .zip(answers)
                    .map(|((job, _), answer)| (job, answer.map(|body| (body, took_ms)))),
            );
        }
        bodies
    }

    async fn check_bodies(
        &self,
        route: &Route,
        wanted: Vec<(Head, ClaimRow, Action)>,
        mut bodies: HashMap<JobSeq, Result<(Resolved, u64), ResolveError>>,
        prepared: &mut Prepared,
    ) -> Vec<Work> {
        let now = self.clock.wall();
        let mut work = Vec::with_capacity(wanted.len());
        for (head, row, action) in wanted {
            let Some(job_id) = self.names.job_id(&self.store, row.job).await else {
                prepared.endings.push((head, Ending::Left));
                continue;
            };
            let read = bodies.remove(&row.job);
            let made = match (row.pinned.clone(), row.payload.clone(), read) {
                (Some(pinned), _, _) => Ok((pinned, None)),
                (None, _, _) if action == Action::Delete => {
                    Ok((pin(job_id, &row, action, None, row.revision), None))
                }
                (None, Some(payload), _) => {
                    Ok((pin(job_id, &row, action, Some(payload), row.revision), None))
                }
                (None, None, Some(Ok((body, took_ms)))) => {
                    let event = events::resolved(now, took_ms, body.body.len(), body.revision);
                    Ok((
                        pin(job_id, &row, action, Some(body.body), body.revision),
                        Some(event),
                    ))
                }
                (None, None, Some(Err(ResolveError::Rejected(problem)))) => {
                    Err(Box::new(ends(&row, JobState::Rejected, *problem, now)))
                }
                (None, None, Some(Err(ResolveError::Unavailable { until, problem }))) => {
                    Err(Box::new(waits_for_source(&row, until, *problem, now)))
                }
                (None, None, None) => {
                    let problem = Problem::new(
                        "body.missing",
                        "the job brings no body and names no source to read it from",
                    );
                    Err(Box::new(ends(&row, JobState::Rejected, problem, now)))
                }
            };
            let checked = made.and_then(|(pinned, event)| {
                let references = self.judge_body(route, &row, &pinned, now)?;
                Ok((pinned, event, references))
            });
            match checked {
                Ok((pinned, resolved, references)) => {
                    let attempt = row.attempts + 1;
                    work.push(Work {
                        head,
                        job_id,
                        action: pinned.action,
                        pinned,
                        references,
                        reference_remotes: Vec::new(),
                        attempt,
                        before: resolved.into_iter().collect(),
                        row,
                    });
                }
                Err(settlement) => prepared.aside(head, *settlement),
            }
        }
        work
    }

    /// Freshness and schema; the references of a body that is fine.
    fn judge_body(
        &self,
        route: &Route,
        row: &ClaimRow,
        pinned: &crate::store::rows::Pinned,
        now: Wall,
    ) -> Result<Vec<(String, ObjectKey)>, Box<Settlement>> {
        let Some(text) = &pinned.body else {
            return Ok(Vec::new());
        };
        let Some(support) = route.description().object_type(&row.object.object_type) else {
            return Ok(Vec::new());
        };
        if row.pinned.is_none()
            && let (Some(ours), Some(theirs)) = (pinned.revision, row.delivered_revision)
            && ours < theirs
        {
            let problem = Problem::new(
                "revision.older",
                format!("revision {theirs} was delivered already, this is {ours}"),
            );
            return Err(Box::new(ends(row, JobState::Superseded, problem, now)));
        }
        let body: Value = serde_json::from_str(text).map_err(|error| {
            Box::new(ends(
                row,
                JobState::Rejected,
                Problem::new("body.invalid", format!("the body is not JSON: {error}")),
                now,
            ))
        })?;
        if row.pinned.is_none() {
            if let Some(problem) = self.schemas.refusal(
                route.connector.digest(),
                &row.object.object_type,
                &support.body,
                &body,
            ) {
                return Err(Box::new(ends(row, JobState::Rejected, problem, now)));
            }
            if text.len() as u64 > support.max_bytes && support.max_bytes > 0 {
                let message = format!(
                    "the body has {} bytes, the connector takes {} in a call",
                    text.len(),
                    support.max_bytes
                );
                return Err(Box::new(ends(
                    row,
                    JobState::Rejected,
                    Problem::new("body.too_large", message),
                    now,
                )));
            }
        }
        Ok(references::find(&body, &support.references))
    }

    /// What does not fit into the call's bytes goes in a later one.
    #[expect(
        clippy::unused_self,
        reason = "one step of the preparation among its siblings"
    )]
    fn keep_within_bytes(&self, route: &Route, work: &mut Vec<Work>, prepared: &mut Prepared) {
        let mut total = 0;
        let mut kept = Vec::with_capacity(work.len());
        for item in work.drain(..) {
            let bound = item.support(route).map_or(0, |s| s.max_bytes);
            let with_it = total + item.bytes();
            if bound > 0 && with_it > bound && !kept.is_empty() {
                prepared.later(item.head, &item.row);
            } else {
                total = with_it;
                kept.push(item);
            }
        }
        *work = kept;
    }

    /// Jobs whose objects refer to unfinished ones wait for these. A repeat of pinned bytes waited
    /// before.
    async fn wait_for_parents(&self, route: &Route, work: &mut Vec<Work>, prepared: &mut Prepared) {
        let asked: Vec<(JobSeq, ObjectKey)> = work
            .iter()
            .filter(|item| item.row.pinned.is_none())
            .flat_map(|item| {
                let named = item.row.depends_on.iter().cloned();
                let referred = item.references.iter().map(|(_, key)| key.clone());
                named.chain(referred).map(|key| (item.row.job, key))
            })
            .filter(|(job, key)| {
                work.iter()
                    .all(|item| item.row.job != *job || item.row.object != *key)
            })
            .collect();
        if asked.is_empty() {
            return;
        }
        let connection = route.connection;
        let parents = match retry_until_stored(&self.clock, || {
            self.store.unfinished_parents(connection, &asked)
        })
        .await
        {
            Ok(parents) => parents,
            Err(error) => {
                tracing::error!(%error, "parents could not be read; their children go without waiting");
                return;
            }
        };
        let mut missing: HashMap<JobSeq, Vec<(ObjectKey, Option<JobSeq>)>> = HashMap::new();
        for ((job, key), parent) in asked.into_iter().zip(parents) {
            if let Some(parent) = parent {
                missing.entry(job).or_default().push((key, Some(parent)));
            }
        }
        self.add_unknown_dependencies(route, work, &mut missing)
            .await;
        self.ignore_circles(route, work, &mut missing).await;
        let now = self.clock.wall();
        let mut going = Vec::with_capacity(work.len());
        for item in work.drain(..) {
            match missing.remove(&item.row.job) {
                Some(parents) => {
                    prepared.aside(item.head, wait_for(route, &item.row, parents, now))
                }
                None => going.push(item),
            }
        }
        *work = going;
    }

    /// `depends_on` without an unfinished job is satisfied only if the object is known to be there.
    async fn add_unknown_dependencies(
        &self,
        route: &Route,
        work: &[Work],
        missing: &mut HashMap<JobSeq, Vec<(ObjectKey, Option<JobSeq>)>>,
    ) {
        for item in work
            .iter()
            .filter(|item| item.row.pinned.is_none() && !item.row.depends_on.is_empty())
        {
            let asked = &item.row.depends_on;
            let known = match retry_until_stored(&self.clock, || {
                self.store.are_there(route.connection, asked)
            })
            .await
            {
                Ok(known) => known,
                Err(error) => {
                    tracing::error!(%error, "what is there could not be read; the job goes without waiting");
                    continue;
                }
            };
            for (key, there) in item.row.depends_on.iter().zip(known) {
                let waits_already = missing
                    .get(&item.row.job)
                    .is_some_and(|m| m.iter().any(|(k, _)| k == key));
                if !there && !waits_already {
                    missing
                        .entry(item.row.job)
                        .or_default()
                        .push((key.clone(), None));
                }
            }
        }
    }

    /// What waits for a job in turn is not waited for.
    async fn ignore_circles(
        &self,
        route: &Route,
        work: &mut [Work],
        missing: &mut HashMap<JobSeq, Vec<(ObjectKey, Option<JobSeq>)>>,
    ) {
        let pairs: Vec<_> = missing
            .iter()
            .flat_map(|(job, of)| of.iter().map(|(key, parent)| (*job, key.clone(), *parent)))
            .collect();
        let now = self.clock.wall();
        for (job, key) in self.circles(route, &pairs).await {
            if let Some(item) = work.iter_mut().find(|item| item.row.job == job) {
                item.before.push(events::reference_ignored(&key, now));
            }
            if let Some(parents) = missing.get_mut(&job) {
                parents.retain(|(other, _)| *other != key);
            }
        }
        missing.retain(|_, parents| !parents.is_empty());
    }

    /// Those of the pairs of a child and what it would wait for that close a circle.
    pub async fn circles(
        &self,
        route: &Route,
        pairs: &[(JobSeq, ObjectKey, Option<JobSeq>)],
    ) -> Vec<(JobSeq, ObjectKey)> {
        if pairs.is_empty() {
            return Vec::new();
        }
        match retry_until_stored(&self.clock, || {
            self.store.close_circles(route.connection, pairs)
        })
        .await
        {
            Ok(close) => pairs
                .iter()
                .zip(close)
                .filter(|(_, close)| *close)
                .map(|((job, key, _), _)| (*job, key.clone()))
                .collect(),
            Err(error) => {
                tracing::error!(%error, "who waits for whom could not be read");
                Vec::new()
            }
        }
    }

    /// What is known of the objects that the bodies refer to.
    pub async fn look_up_references(
        &self,
        route: &Route,
        work: &mut [Work],
    ) -> Result<(), StoreError> {
        let keys: Vec<ObjectKey> = work
            .iter()
            .flat_map(|item| item.references.iter().map(|(_, key)| key.clone()))
            .collect();
        let remotes =
            retry_until_stored(&self.clock, || self.store.remotes(route.connection, &keys)).await?;
        let mut remotes = remotes.into_iter();
        for item in work {
            item.reference_remotes = item
                .references
                .iter()
                .map(|_| remotes.next().unwrap_or_default())
                .collect();
        }
        Ok(())
    }

    async fn open_intents(
        &self,
        route: &Route,
        mut work: Vec<Work>,
        call: i64,
        prepared: &mut Prepared,
    ) {
        if work.is_empty() {
            return;
        }
        if let Err(error) = self.look_up_references(route, &mut work).await {
            tracing::error!(%error, "the id map could not be read; nothing is sent");
            prepared
                .endings
                .extend(work.into_iter().map(|item| (item.head, Ending::Left)));
            return;
        }
        let intents: Vec<NewIntent> = work
            .iter()
            .map(|item| NewIntent {
                job: item.row.job,
                call,
                attempt: item.attempt,
                pinned: item.pinned.clone(),
                events: item.before.clone(),
            })
            .collect();
        match retry_until_stored(&self.clock, || self.store.open_intent(intents.clone())).await {
            Ok(opened) => {
                for item in work {
                    if opened.contains(&item.row.job) {
                        prepared.work.push(item);
                    } else {
                        prepared.endings.push((item.head, Ending::Left));
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "intents could not be written; nothing is sent");
                prepared
                    .endings
                    .extend(work.into_iter().map(|item| (item.head, Ending::Left)));
            }
        }
    }
}

/// Whether a job's body comes from a source.
fn is_read(row: &ClaimRow, action: Action) -> bool {
    row.pinned.is_none() && row.payload.is_none() && action != Action::Delete
}

/// Whether a job may still go, and as what.
fn admissible(route: &Route, row: &ClaimRow, now: Wall) -> Result<Action, Box<Settlement>> {
    if let Some(pinned) = &row.pinned {
        return Ok(pinned.action);
    }
    if row.expires_at.is_some_and(|at| at <= now) {
        return Err(Box::new(fails(
            row,
            FailureCode::Expired,
            "`expires_at` passed before the job was sent",
            now,
        )));
    }
    let Some(support) = route.description().object_type(&row.object.object_type) else {
        let message = format!(
            "the connector {} does not deliver {}",
            route.description().name,
            row.object.object_type
        );
        return Err(Box::new(ends(
            row,
            JobState::Rejected,
            Problem::new("object_type.unsupported", message),
            now,
        )));
    };
    row.action.fallback(&support.actions).ok_or_else(|| {
        let message = format!(
            "the connector {} does not {} {}",
            route.description().name,
            row.action.as_str(),
            row.object.object_type
        );
        Box::new(ends(
            row,
            JobState::Rejected,
            Problem::new("action.unsupported", message),
            now,
        ))
    })
}

/// A job waits for objects, for at most the channel's `parent_wait_ms` since it first did.
pub fn wait_for(
    route: &Route,
    row: &ClaimRow,
    parents: Vec<(ObjectKey, Option<JobSeq>)>,
    now: Wall,
) -> Settlement {
    let wait_ms = i64::try_from(route.channel.parent_wait_ms).unwrap_or(i64::MAX);
    let until = row.waits_since.unwrap_or(now).plus_ms(wait_ms);
    let names: Vec<String> = parents.iter().map(|(key, _)| key.to_string()).collect();
    let problem = Problem::new(
        "dependency.missing",
        format!("waits for {}", names.join(", ")),
    );
    let mut settlement = waits(row, WaitingKind::Dependency, Some(until), problem, now);
    if let Transition::Waits { parents: slots, .. } = &mut settlement.to {
        *slots = parents;
    }
    settlement
}
