//! From what a call brought to settlements: each item judged by the core, written down, and handed back.

use std::collections::BTreeMap;

use egression_core::domain::action::Action;
use egression_core::domain::judge::{
    Again, CallFrame, CallVerdict, ConnectionEffect, Credential, JudgeInput, Verdict, judge, judge_call, missing_outcome,
};
use egression_core::domain::object::Remote;
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::{Ending, Head};
use egression_core::time::Wall;

use super::prepare::wait_for;
use super::run::Ran;
use super::work::{Route, Work};
use super::{Deliverer, Effect, ending, history, persist};
use crate::config::documents::AuthDocument;
use crate::store::rows::{IdMapChange, NewEvent, Settlement, Transition};

/// Exchanges of a call that each of its items keeps in its history; the newest count.
pub(super) const EXCHANGES_PER_ITEM: usize = 4;
/// So many attempts before its last, a job whose calls do not advance goes alone.
const LAST_ATTEMPTS_ALONE: u32 = 2;

/// What follows from a call.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) settlements: Vec<Settlement>,
    pub(super) endings: Vec<(Head, Ending)>,
    pub(super) effect: Effect,
    /// Items to be sent again in smaller calls at once: nothing of them was applied.
    pub(super) halves: Vec<Vec<Work>>,
}

/// One call under judgement.
struct Bench<'a> {
    host: &'a Deliverer,
    route: &'a Route,
    call: i64,
    ran: &'a Ran,
    verdict: Option<CallVerdict>,
    advanced: bool,
    batch_size: u32,
    draw: f64,
    now: Wall,
}

/// Judges every item of a call.
pub(super) async fn decide(host: &Deliverer, route: &Route, call: i64, part: Vec<Work>, mut ran: Ran) -> Decided {
    let batch_size = u32::try_from(part.len()).unwrap_or(u32::MAX);
    let refused_whole = matches!(ran.error, Some(CallError::BatchRefused(_))) && batch_size > 1 && !ran.evidence.answer_lost;
    let credential = credential_of(route);
    let frame = CallFrame { evidence: ran.evidence, batch_size, credential, credential_fresh: ran.session_fresh };
    let verdict = ran.error.take().map(|error| judge_call(error, frame));
    let advanced = ran.outcomes.values().any(|outcome| *outcome != Outcome::NotAttempted);
    let mut decided = Decided { effect: effect_of(verdict.as_ref(), &ran), ..Decided::default() };
    if let Some(verdict) = &verdict {
        apply_to_connection(host, route, verdict).await;
    }
    let bench = Bench { host, route, call, ran: &ran, verdict, advanced, batch_size, draw: host.chance.draw(), now: host.clock.wall() };
    let (mut again, mut judged) = (Vec::new(), Vec::with_capacity(part.len()));
    for (index, item) in part.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let outcome = ran.outcomes.get(&index).cloned();
        if refused_whole && outcome.is_none() {
            again.push(item);
            continue;
        }
        let verdict = bench.judge(&item, outcome);
        judged.push((index, item, verdict));
    }
    if credential == Credential::Entered
        && let Some(problem) = refused_to_all(judged.iter().map(|(_, _, verdict)| verdict))
    {
        decided.effect = Effect::Refused(problem.clone());
    }
    bench.follow_up(judged.iter().map(|(_, _, verdict)| verdict)).await;
    for (index, item, verdict) in judged {
        let (settlement, ending) = bench.settlement(&item, index, verdict).await;
        // The scheduler packs by action, so it must know of another one.
        let head = settlement.act_as.map_or(item.head, |action| Head { action, ..item.head });
        decided.settlements.push(settlement);
        decided.endings.push((head, ending));
    }
    let middle = again.len().div_ceil(2);
    let second = again.split_off(middle.min(again.len()));
    decided.halves.extend([again, second].into_iter().filter(|half| !half.is_empty()));
    decided
}

impl Bench<'_> {
    /// What the verdicts mean for the connection, once for all items: each closed limit is a commit.
    async fn follow_up(&self, verdicts: impl Iterator<Item = &Verdict>) {
        let mut closures: BTreeMap<Option<&str>, (u64, Option<&Problem>)> = BTreeMap::new();
        let mut refused = false;
        for verdict in verdicts {
            let Verdict::Again(again) = verdict else { continue };
            refused |= again.credential_refused;
            if let Some((bucket, ms)) = &again.close_limit {
                let longest = closures.entry(bucket.as_deref()).or_default();
                if *ms >= longest.0 {
                    *longest = (*ms, again.problem.as_ref());
                }
            }
        }
        for (bucket, (ms, problem)) in closures {
            close_limit(self.host, self.route, bucket, ms, problem).await;
        }
        if refused {
            self.host.drop_session(self.route, self.ran.session.as_ref()).await;
        }
    }

    fn judge(&self, item: &Work, outcome: Option<Outcome>) -> Verdict {
        let pinned_before = item.row.pinned.is_some();
        let input = JudgeInput {
            action: item.action,
            idempotent: item.is_idempotent(self.route),
            declares_upsert: item.support(self.route).is_some_and(|s| s.actions.contains(&Action::Upsert)),
            reconciles: self.route.reconciles(),
            rules: &self.route.channel.retry,
            outcome: outcome.clone().unwrap_or_else(|| missing_outcome(self.ran.evidence)),
            evidence: self.ran.evidence,
            attempts_before: item.row.attempts,
            conflicts_before: item.row.conflicts,
            answer_lost_before: item.pinned.answer_lost,
            pinned_before,
            batch_size: self.batch_size,
            advanced: self.advanced,
            guest_failed: false,
            draw: self.draw,
        };
        match (&self.verdict, outcome) {
            (Some(verdict), None) => verdict.judge(input),
            _ => judge(input),
        }
    }

    async fn settlement(&self, item: &Work, index: u32, verdict: Verdict) -> (Settlement, Ending) {
        let mut settlement = Settlement {
            job: item.row.job,
            call: Some(self.call),
            to: Transition::Ended { state: JobState::Succeeded, code: None, problem: None, changed: None, block_key: None },
            attempts: item.attempt,
            conflicts: item.row.conflicts,
            id_map: IdMapChange::Keep,
            act_as: None,
            delivered_revision: None,
            events: self.events(item, index),
        };
        let ending = match verdict {
            Verdict::Again(again) => self.goes_again(item, again, &mut settlement).await,
            ended => {
                ending::end(self.route, item, ended, self.now, &mut settlement);
                Ending::Left
            }
        };
        (settlement, ending)
    }

    fn events(&self, item: &Work, index: u32) -> Vec<NewEvent> {
        let mut events = Vec::with_capacity(4);
        let description = self.route.description();
        let connector = format!("{} {}", description.name, description.version);
        events.push(history::sent(
            self.ran.began,
            item.attempt,
            self.call,
            self.batch_size as usize,
            &item.pinned.idempotency_key,
            &connector,
        ));
        let from = self.ran.exchanges.len().saturating_sub(EXCHANGES_PER_ITEM);
        let log = history::kept_lines(&self.ran.logs, index, self.batch_size);
        events.extend(history::responded(&self.ran.exchanges[from..], &log, item.attempt, self.now));
        events
    }

    async fn goes_again(&self, item: &Work, again: Again, settlement: &mut Settlement) -> Ending {
        settlement.attempts = item.row.attempts + u32::from(again.attempt_spent);
        settlement.conflicts = item.row.conflicts + u32::from(again.conflict);
        settlement.id_map = match (&again.act_as, &again.there) {
            (Some(_), _) => IdMapChange::Drop,
            (None, Some(there)) => IdMapChange::Replace(with(&item.row.remotes, there)),
            (None, None) => IdMapChange::Keep,
        };
        settlement.act_as = again.act_as;
        if !again.parents.is_empty() {
            let parents = self.unfinished(item, &again).await;
            let waiting = wait_for(self.route, &item.row, parents, self.now);
            settlement.events.extend(waiting.events);
            settlement.to = waiting.to;
            return Ending::Left;
        }
        let wait_ms = i64::try_from(again.after_ms).unwrap_or(i64::MAX);
        let reason = again.reason.filter(|_| wait_ms > 0);
        let until = reason.map(|_| self.now.plus_ms(wait_ms));
        let closed_ms = again.close_limit.as_ref().map(|(_, ms)| *ms).or_else(|| self.closed_ms());
        let closed = closed_ms.map(|ms| self.now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
        let shown = reason.or(closed.map(|_| WaitingKind::Limit)).unwrap_or(WaitingKind::Turn);
        settlement.events.push(history::waits(shown, until.or(closed), again.problem.as_ref(), Some(item.attempt), self.now));
        settlement.to = Transition::Waits {
            reason,
            until,
            parents: Vec::new(),
            problem: again.problem,
            keep_pinned: again.keep_pinned,
            answer_lost: again.answer_lost,
        };
        let call_cap = again.halve.then(|| self.smaller(settlement.attempts));
        if reason.is_some() {
            return Ending::Waits { call_cap };
        }
        Ending::Again { attempts: settlement.attempts, pinned: again.keep_pinned, call_cap }
    }

    /// Items in the next call of a job whose call did not advance: half as many, and before its attempts are used up
    /// it goes alone, so that none ends for what another one does to the guest.
    fn smaller(&self, attempts: u32) -> u32 {
        let last = attempts.saturating_add(LAST_ATTEMPTS_ALONE) >= self.route.channel.retry.attempts;
        if last { 1 } else { (self.batch_size / 2).max(1) }
    }

    /// For how long the call as a whole closed a limit.
    fn closed_ms(&self) -> Option<u64> {
        closes(&self.verdict.as_ref()?.connection).map(|(_, ms)| ms)
    }

    /// The unfinished jobs of the objects that a connector was blocked on.
    async fn unfinished(
        &self,
        item: &Work,
        again: &Again,
    ) -> Vec<(egression_core::domain::object::ObjectKey, Option<egression_core::domain::ids::JobSeq>)> {
        let asked: Vec<_> = again.parents.iter().map(|key| (item.row.job, key.clone())).collect();
        let connection = self.route.connection;
        let found =
            persist::until_taken(&self.host.clock, || self.host.store.unfinished_parents(connection, &asked)).await.unwrap_or_default();
        let mut found = found.into_iter();
        asked.into_iter().map(|(_, key)| (key, found.next().flatten())).collect()
    }
}

/// What the call says about its connection.
fn effect_of(verdict: Option<&CallVerdict>, ran: &Ran) -> Effect {
    let answered = ran.exchanges.iter().any(|exchange| exchange.status.is_some());
    match verdict {
        Some(CallVerdict { guest_failed: true, problem: Some(problem), .. }) => Effect::Trapped(problem.clone()),
        Some(CallVerdict { connection: ConnectionEffect::Park(problem), .. }) => Effect::Refused(problem.clone()),
        Some(CallVerdict { connection: ConnectionEffect::Unavailable { .. }, problem, .. }) => Effect::Unavailable(
            problem.clone().unwrap_or_else(|| Problem::new("destination.unavailable", "the destination does not answer")),
        ),
        _ if answered => Effect::Healthy,
        // Our own limit had no room, or a credential is renewed: that says nothing about the destination.
        Some(CallVerdict {
            connection: ConnectionEffect::CloseLimit { .. } | ConnectionEffect::DropSession | ConnectionEffect::DropToken,
            ..
        }) => Effect::None,
        _ => match ran.exchanges.iter().rev().filter(|exchange| exchange.end.blames_destination()).find_map(|e| e.error.as_ref()) {
            Some(error) => Effect::Unavailable(Problem::new("destination.unreachable", error.clone())),
            None => Effect::None,
        },
    }
}

/// Why the credential was refused, if it was to every item: to one among others it says something of that item.
fn refused_to_all<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Option<&'a Problem> {
    let mut refused = None;
    for verdict in verdicts {
        let Verdict::Again(Again { credential_refused: true, problem: Some(problem), .. }) = verdict else { return None };
        refused = Some(problem);
    }
    refused
}

fn credential_of(route: &Route) -> Credential {
    match &route.document.auth {
        Some(AuthDocument::Connector { .. }) => Credential::Session,
        Some(AuthDocument::OAuth2ClientCredentials { .. }) => Credential::Token,
        None | Some(AuthDocument::None | AuthDocument::Bearer { .. }) => Credential::Entered,
    }
}

/// Closes what the verdict closes. A destination that is down until a time named closes the connection's own limit: no job of it,
/// and no probe, is sent before.
async fn apply_to_connection(host: &Deliverer, route: &Route, verdict: &CallVerdict) {
    if let Some((bucket, ms)) = closes(&verdict.connection) {
        close_limit(host, route, bucket, ms, verdict.problem.as_ref()).await;
    }
}

/// The limit that a call as a whole closes (none: the connection's own), and for how long.
fn closes(effect: &ConnectionEffect) -> Option<(Option<&str>, u64)> {
    match effect {
        ConnectionEffect::CloseLimit { bucket, ms } => Some((bucket.as_deref(), *ms)),
        ConnectionEffect::Unavailable { not_before_ms } => not_before_ms.map(|ms| (None, ms)),
        _ => None,
    }
}

pub(super) async fn close_limit(host: &Deliverer, route: &Route, bucket: Option<&str>, ms: u64, problem: Option<&Problem>) {
    let until = host.clock.wall().plus_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let reason = problem.map_or("the destination asked for less", |p| p.message.as_str());
    if let Err(error) = host.gate.throttle(&route.destination.owner, bucket, until, reason).await {
        // In force in this run; only a restart before then would not know of it.
        tracing::warn!(%error, owner = route.destination.owner, "a closed limit could not be kept");
    }
}

/// The known remotes with one of them as it is there now.
fn with(known: &[Remote], there: &Remote) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = known.iter().filter(|r| (&r.kind, &r.sub_id) != (&there.kind, &there.sub_id)).cloned().collect();
    remotes.push(there.clone());
    remotes
}
