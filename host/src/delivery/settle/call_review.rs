//! From what a call brought to settlements: each item judged by the core, written down, and handed
//! back.

use std::collections::{BTreeMap, HashSet};

use egression_core::domain::action::Action;
use egression_core::domain::ids::JobSeq;
use egression_core::domain::judge::{
    Again, CallFrame, CallVerdict, ConnectionEffect, Credential, CredentialCheck, JudgeInput,
    Verdict, judge, judge_call, missing_outcome,
};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::{Ending, Head};
use egression_core::time::Wall;

use crate::delivery::deliver::Deliverer;
use crate::delivery::deliver::Effect;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::invoker::Invocation;
use crate::delivery::prepare::preparer::wait_for;
use crate::delivery::retry_until_stored::retry_until_stored;
use crate::delivery::settle::events;
use crate::delivery::settle::final_state;
use crate::delivery::settle::host_limits;
use crate::delivery::work::{Route, Work};
use crate::documents::model::AuthDocument;
use crate::store::rows::{IdMapChange, NewEvent, Settlement, Transition};

/// So many attempts before its last, a job whose calls do not advance goes alone.
const LAST_ATTEMPTS_ALONE: u32 = 2;

/// What follows from a call.
#[derive(Debug, Default)]
pub struct Decided {
    pub settlements: Vec<Settlement>,
    pub endings: Vec<(Head, Ending)>,
    pub effect: Effect,
    /// Items to be sent again in smaller calls at once: nothing of them was applied.
    pub halves: Vec<Vec<Work>>,
}

struct CallReview<'a> {
    host: &'a Deliverer,
    route: &'a Route,
    call: i64,
    ran: &'a Invocation,
    verdict: Option<CallVerdict>,
    /// The session or token is no longer good, says the call as a whole.
    expired: bool,
    /// What was found out about the credential since.
    credential: CredentialCheck,
    check: CallLog,
    /// A limit of some operations, or by cost, had no room, and the destination did not ask for
    /// less: nothing is to be closed.
    limited_here: bool,
    /// The unfinished jobs of the objects that items are blocked on, by index.
    parents: BTreeMap<u32, Parents>,
    /// The idempotency keys of its items.
    keys: HashSet<String>,
    advanced: bool,
    batch_size: u32,
    draw: f64,
    now: Wall,
}

/// Objects, with the unfinished job of each if one is known.
type Parents = Vec<(ObjectKey, Option<JobSeq>)>;

/// Judges every item of a call.
pub async fn decide(
    host: &Deliverer,
    route: &Route,
    call: i64,
    part: Vec<Work>,
    mut ran: Invocation,
) -> Decided {
    let batch_size = u32::try_from(part.len()).unwrap_or(u32::MAX);
    host_limits::reclassify_too_costly(&mut ran, batch_size);
    let refused_whole = matches!(ran.error, Some(CallError::BatchRefused(_)))
        && batch_size > 1
        && !ran.evidence.answer_lost;
    let credential = credential_of(route);
    let frame = CallFrame {
        evidence: ran.evidence,
        batch_size,
        credential,
        credential_fresh: ran.session_fresh,
    };
    let expired = ran.sent && matches!(ran.error, Some(CallError::AuthExpired(_)));
    let verdict = ran.error.take().map(|error| judge_call(error, frame));
    let advanced = ran
        .outcomes
        .values()
        .any(|outcome| *outcome != Outcome::NotAttempted);
    let mut decided = Decided {
        effect: effect_of(verdict.as_ref(), &ran),
        ..Decided::default()
    };
    let parents = find_parents(host, route, &part, &mut ran.outcomes).await;
    let mut bench = CallReview {
        host,
        route,
        call,
        ran: &ran,
        verdict,
        expired,
        credential: CredentialCheck::NotMade,
        check: CallLog::default(),
        limited_here: host_limits::held_back(route, &ran),
        parents,
        keys: part
            .iter()
            .map(|item| item.pinned.idempotency_key.clone())
            .collect(),
        advanced,
        batch_size,
        draw: host.rng.jitter(),
        now: host.clock.wall(),
    };
    let (mut again, mut judged) = (Vec::new(), Vec::with_capacity(part.len()));
    for (index, item) in part.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        if refused_whole && !ran.outcomes.contains_key(&index) {
            again.push(item);
            continue;
        }
        let verdict = bench.judge(&item, index);
        judged.push((index, item, verdict));
    }
    if again.is_empty()
        && let Some(effect) = bench.attribute_auth_failure(&mut judged).await
        && !matches!(decided.effect, Effect::Trapped(_))
    {
        decided.effect = effect;
    }
    if let Some(verdict) = &bench.verdict {
        bench.apply_to_connection(verdict).await;
    }
    bench
        .follow_up(judged.iter().map(|(_, _, verdict)| verdict))
        .await;
    for (index, item, verdict) in judged {
        let (settlement, ending) = bench.settlement(&item, index, verdict);
        // The scheduler packs by action, so it must know of another one.
        let head = settlement.act_as.map_or(item.head, |action| Head {
            action,
            ..item.head
        });
        decided.settlements.push(settlement);
        decided.endings.push((head, ending));
    }
    let middle = again.len().div_ceil(2);
    let second = again.split_off(middle.min(again.len()));
    decided
        .halves
        .extend([again, second].into_iter().filter(|half| !half.is_empty()));
    decided
}

impl CallReview<'_> {
    /// Where the destination refused every item with 401 or 403, the connection is checked, and the
    /// items are judged anew by what that found. A 401 that may be that of an expired session or
    /// token is not asked about the first times; one among items that got through is the item's
    /// own. Returns what it means for the connection.
    async fn attribute_auth_failure(
        &mut self,
        judged: &mut [(u32, Work, Verdict)],
    ) -> Option<Effect> {
        let renewable = credential_of(self.route) != Credential::Entered;
        let refused: Vec<Option<Refusal>> = judged
            .iter()
            .map(|(index, _, verdict)| self.refusal(*index, verdict))
            .collect();
        let of = |place: usize| refused.get(place).copied().flatten();
        // An item of which the destination was not asked (a limit, a token that rests) is as
        // refused as it was before.
        let others = judged
            .iter()
            .enumerate()
            .filter(|(place, (_, _, verdict))| {
                of(*place) != Some(Refusal::Unauthorized) && says_something(verdict)
            });
        self.host
            .refusals
            .forget(others.map(|(_, (_, item, _))| item.row.job));
        if refused.iter().all(Option::is_none) {
            return None;
        }
        // Every job is told, so none of them is passed over.
        let told = judged
            .iter()
            .enumerate()
            .filter(|(place, _)| of(*place) == Some(Refusal::Unauthorized));
        let first: Vec<bool> = told
            .map(|(_, (_, item, _))| !self.host.refusals.again(item.row.job))
            .collect();
        let first = renewable && first.into_iter().any(|first| first);
        let works = judged
            .iter()
            .any(|(_, _, verdict)| matches!(verdict, Verdict::Succeeded { .. }));
        // A session that expired in the middle of a call held until then, and the rest of the items
        // goes on with another one.
        let went_on = works && self.expired;
        if first || went_on || (!works && refused.iter().any(Option::is_none)) {
            return None;
        }
        let effect = if works {
            self.credential = CredentialCheck::Works;
            None
        } else {
            let (found, effect) = self.host.whose_fault(self.route, &mut self.check).await;
            self.credential = found;
            Some(effect)
        };
        if self.credential == CredentialCheck::NotMade {
            // Without a check nobody can tell. What a person entered is refused to all; what was
            // made anew again and again in vain is as if it worked, for that comes to an end.
            if !renewable {
                let problem = refused_to_all(judged.iter().map(|(_, _, verdict)| verdict));
                return problem.map(|problem| Effect::Refused(problem.clone()));
            }
            self.credential = CredentialCheck::Works;
        }
        if self.credential == CredentialCheck::Works && self.expired {
            self.verdict = self.verdict.take().map(CallVerdict::of_items);
        }
        for (place, (index, item, verdict)) in judged.iter_mut().enumerate() {
            if of(place).is_some() {
                *verdict = self.judge(item, *index);
            }
        }
        effect
    }

    /// How the destination refused an item, if it did.
    fn refusal(&self, index: u32, verdict: &Verdict) -> Option<Refusal> {
        match verdict {
            Verdict::Again(again) if again.credential_refused => Some(Refusal::Unauthorized),
            Verdict::Again(_)
                if self.expired
                    && !self.ran.evidence.answer_lost
                    && !self.ran.outcomes.contains_key(&index) =>
            {
                Some(Refusal::Unauthorized)
            }
            Verdict::Rejected(problem) if problem.http_status == Some(403) => {
                Some(Refusal::Forbidden)
            }
            _ => None,
        }
    }

    /// Closes what the verdict closes. A destination that is down until a time named closes the
    /// connection's own limit: no job of it, and no probe, is sent before.
    async fn apply_to_connection(&self, verdict: &CallVerdict) {
        if let Some((bucket, ms)) =
            closes(&verdict.connection).filter(|(bucket, _)| !self.keeps_open(*bucket))
        {
            close_limit(self.host, self.route, bucket, ms, verdict.problem.as_ref()).await;
        }
    }

    /// The destination did not ask for less: a limit of this host had no room, and it knows that by
    /// itself.
    fn keeps_open(&self, bucket: Option<&str>) -> bool {
        bucket.is_none() && self.limited_here
    }

    /// Admission does not see why this item cannot go: it looks at the limits that cover every
    /// request, and knows the cost of none. So the store holds it.
    fn is_unseen(&self, bucket: Option<&str>) -> bool {
        let in_part = |name: &str| {
            let limits = &self.route.destination.limits;
            limits
                .iter()
                .any(|limit| limit.name.as_deref() == Some(name) && !limit.operations.is_empty())
        };
        self.keeps_open(bucket) || bucket.is_some_and(in_part)
    }

    /// What the verdicts mean for the connection, once for all items: each closed limit is a
    /// commit.
    async fn follow_up(&self, verdicts: impl Iterator<Item = &Verdict>) {
        let mut closures: BTreeMap<Option<&str>, (u64, Option<&Problem>)> = BTreeMap::new();
        let mut refused = false;
        for verdict in verdicts {
            let Verdict::Again(again) = verdict else {
                continue;
            };
            refused |= again.credential_refused;
            if let Some((bucket, ms)) = &again.close_limit {
                let longest = closures.entry(bucket.as_deref()).or_default();
                if *ms >= longest.0 {
                    *longest = (*ms, again.problem.as_ref());
                }
            }
        }
        for (bucket, (ms, problem)) in closures
            .into_iter()
            .filter(|(bucket, _)| !self.keeps_open(*bucket))
        {
            close_limit(self.host, self.route, bucket, ms, problem).await;
        }
        if refused {
            self.host
                .drop_session(self.route, self.ran.session.as_ref())
                .await;
        }
    }

    fn judge(&self, item: &Work, index: u32) -> Verdict {
        let outcome = self.ran.outcomes.get(&index).cloned();
        let pinned_before = item.row.pinned.is_some();
        let input = JudgeInput {
            action: item.action,
            idempotent: item.is_idempotent(self.route),
            declares_upsert: item
                .support(self.route)
                .is_some_and(|s| s.actions.contains(&Action::Upsert)),
            reconciles: self.route.reconciles(),
            rules: &self.route.channel.retry,
            outcome: outcome
                .clone()
                .unwrap_or_else(|| missing_outcome(self.ran.evidence)),
            evidence: self.ran.evidence,
            attempts_before: item.row.attempts,
            conflicts_before: item.row.conflicts,
            answer_lost_before: item.pinned.answer_lost,
            pinned_before,
            batch_size: self.batch_size,
            advanced: self.advanced,
            guest_failed: false,
            credential: self.credential,
            draw: self.draw,
        };
        match (&self.verdict, outcome) {
            (Some(verdict), None) => verdict.judge(input),
            _ => judge(input),
        }
    }

    fn settlement(&self, item: &Work, index: u32, verdict: Verdict) -> (Settlement, Ending) {
        let mut settlement = Settlement {
            job: item.row.job,
            call: Some(self.call),
            to: Transition::Ended {
                state: JobState::Succeeded,
                code: None,
                problem: None,
                changed: None,
                block_key: None,
            },
            attempts: item.attempt,
            conflicts: item.row.conflicts,
            id_map: IdMapChange::Keep,
            act_as: None,
            delivered_revision: None,
            events: self.events(item, index),
        };
        let ending = match verdict {
            Verdict::Again(again) => self.goes_again(item, index, again, &mut settlement),
            ended => {
                final_state::end(self.route, item, ended, self.now, &mut settlement);
                Ending::Left
            }
        };
        (settlement, ending)
    }

    fn events(&self, item: &Work, index: u32) -> Vec<NewEvent> {
        let mut events = self
            .ran
            .login
            .events(self.batch_size, item.attempt, self.now);
        let description = self.route.description();
        let connector = format!("{} {}", description.name, description.version);
        if self.ran.sent {
            events.push(events::sent(
                self.ran.began,
                item.attempt,
                self.call,
                self.batch_size as usize,
                &item.pinned.idempotency_key,
                &connector,
            ));
        }
        let log = events::kept_lines(&self.ran.logs, index, self.batch_size);
        let exchanges = events::exchanges_of(
            &self.ran.exchanges,
            &item.pinned.idempotency_key,
            &self.keys,
        );
        events.extend(events::responded(exchanges, &log, item.attempt, self.now));
        events.extend(self.check.events(self.batch_size, item.attempt, self.now));
        events
    }

    fn goes_again(
        &self,
        item: &Work,
        index: u32,
        again: Again,
        settlement: &mut Settlement,
    ) -> Ending {
        settlement.attempts = item.row.attempts + u32::from(again.attempt_spent);
        settlement.conflicts = item.row.conflicts + u32::from(again.conflict);
        settlement.id_map = match (&again.act_as, &again.there) {
            (Some(_), _) => IdMapChange::Drop,
            (None, Some(there)) => IdMapChange::Replace(with(&item.row.remotes, there)),
            (None, None) => IdMapChange::Keep,
        };
        settlement.act_as = again.act_as;
        if !again.parents.is_empty() {
            let parents = self.parents.get(&index).cloned().unwrap_or_default();
            let waiting = wait_for(self.route, &item.row, parents, self.now);
            settlement.events.extend(waiting.events);
            settlement.to = waiting.to;
            return Ending::Left;
        }
        let closes = again
            .close_limit
            .as_ref()
            .map(|(bucket, ms)| (bucket.as_deref(), *ms))
            .or_else(|| self.closed());
        let unseen_ms = closes
            .filter(|(bucket, _)| self.is_unseen(*bucket))
            .map_or(0, |(_, ms)| host_limits::wait_ms(ms));
        let own = again.reason.filter(|_| again.after_ms > 0);
        let wait_ms = i64::try_from(again.after_ms.max(unseen_ms)).unwrap_or(i64::MAX);
        let reason = own.or((unseen_ms > 0).then_some(WaitingKind::Retry));
        let until = reason.map(|_| self.now.plus_ms(wait_ms));
        let closed = closes.map(|(_, ms)| self.now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
        let shown = own
            .or(closed.map(|_| WaitingKind::Limit))
            .unwrap_or(WaitingKind::Turn);
        settlement.events.push(events::waits(
            shown,
            until.or(closed),
            again.problem.as_ref(),
            Some(item.attempt),
            self.now,
        ));
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
        Ending::Again {
            attempts: settlement.attempts,
            pinned: again.keep_pinned,
            call_cap,
        }
    }

    /// Items in the next call of a job whose call did not advance: half as many, and before its
    /// attempts are used up it goes alone, so that none ends for what another one does to the
    /// guest.
    fn smaller(&self, attempts: u32) -> u32 {
        let last =
            attempts.saturating_add(LAST_ATTEMPTS_ALONE) >= self.route.channel.retry.attempts;
        if last {
            1
        } else {
            (self.batch_size / 2).max(1)
        }
    }

    /// The limit that the call as a whole closed, and for how long.
    fn closed(&self) -> Option<(Option<&str>, u64)> {
        closes(&self.verdict.as_ref()?.connection)
    }
}

/// How a destination refuses an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
}

/// The unfinished jobs of the objects that items are blocked on. An item cannot wait for itself,
/// nor for what waits for it: where nothing else is named, it is blocked on nothing.
async fn find_parents(
    host: &Deliverer,
    route: &Route,
    part: &[Work],
    outcomes: &mut BTreeMap<u32, Outcome>,
) -> BTreeMap<u32, Parents> {
    let mut parents = BTreeMap::new();
    for (index, outcome) in outcomes {
        let Outcome::BlockedOn(objects) = outcome else {
            continue;
        };
        let Some(item) = usize::try_from(*index)
            .ok()
            .and_then(|place| part.get(place))
        else {
            continue;
        };
        objects.retain(|object| *object != item.row.object);
        let asked: Vec<_> = objects
            .iter()
            .map(|object| (item.row.job, object.clone()))
            .collect();
        let found = retry_until_stored(&host.clock, || {
            host.store.unfinished_parents(route.connection, &asked)
        })
        .await
        .unwrap_or_default();
        let mut found = found.into_iter();
        let pairs: Vec<_> = asked
            .into_iter()
            .map(|(job, object)| (job, object, found.next().flatten()))
            .collect();
        let circles = host.circles(route, &pairs).await;
        objects.retain(|object| circles.iter().all(|(_, other)| other != object));
        let kept = pairs
            .into_iter()
            .filter(|(_, object, _)| objects.contains(object));
        parents.insert(
            *index,
            kept.map(|(_, object, parent)| (object, parent)).collect(),
        );
    }
    parents
}

/// What the call says about its connection.
fn effect_of(verdict: Option<&CallVerdict>, ran: &Invocation) -> Effect {
    let answered = ran
        .exchanges
        .iter()
        .any(|exchange| exchange.status.is_some());
    match verdict {
        Some(CallVerdict {
            guest_failed: true,
            problem: Some(problem),
            ..
        }) => Effect::Trapped(problem.clone()),
        Some(CallVerdict {
            connection: ConnectionEffect::Park(problem),
            ..
        }) => Effect::Refused(problem.clone()),
        Some(CallVerdict {
            connection: ConnectionEffect::Unavailable { .. },
            problem,
            ..
        }) => Effect::Unavailable(problem.clone().unwrap_or_else(|| {
            Problem::new("destination.unavailable", "the destination does not answer")
        })),
        _ if answered => Effect::Healthy,
        // Our own limit had no room, or a credential is renewed: that says nothing about the
        // destination.
        Some(CallVerdict {
            connection: ConnectionEffect::CloseLimit { .. } | ConnectionEffect::Renew,
            ..
        }) => Effect::None,
        _ => match ran
            .exchanges
            .iter()
            .rev()
            .filter(|exchange| exchange.end.blames_destination())
            .find_map(|e| e.error.as_ref())
        {
            Some(error) => {
                Effect::Unavailable(Problem::new("destination.unreachable", error.clone()))
            }
            None => Effect::None,
        },
    }
}

/// Whether the destination was asked about the item.
fn says_something(verdict: &Verdict) -> bool {
    let Verdict::Again(again) = verdict else {
        return true;
    };
    let answered = again
        .problem
        .as_ref()
        .is_some_and(|problem| problem.http_status.is_some());
    answered || again.attempt_spent || again.conflict || !again.parents.is_empty()
}

/// Why the credential was refused, if it was to every item: to one among others it says something
/// of that item.
fn refused_to_all<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Option<&'a Problem> {
    let mut refused = None;
    for verdict in verdicts {
        let Verdict::Again(Again {
            credential_refused: true,
            problem: Some(problem),
            ..
        }) = verdict
        else {
            return None;
        };
        refused = Some(problem);
    }
    refused
}

pub fn credential_of(route: &Route) -> Credential {
    match &route.document.auth {
        Some(AuthDocument::Connector { .. }) => Credential::Session,
        Some(AuthDocument::OAuth2ClientCredentials { .. }) => Credential::Token,
        None | Some(AuthDocument::None | AuthDocument::Bearer { .. }) => Credential::Entered,
    }
}

/// The limit that a call as a whole closes (none: the connection's own), and for how long.
pub fn closes(effect: &ConnectionEffect) -> Option<(Option<&str>, u64)> {
    match effect {
        ConnectionEffect::CloseLimit { bucket, ms } => Some((bucket.as_deref(), *ms)),
        ConnectionEffect::Unavailable { not_before_ms } => not_before_ms.map(|ms| (None, ms)),
        _ => None,
    }
}

pub async fn close_limit(
    host: &Deliverer,
    route: &Route,
    bucket: Option<&str>,
    ms: u64,
    problem: Option<&Problem>,
) {
    let until = host
        .clock
        .wall()
        .plus_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let reason = problem.map_or("the destination asked for less", |p| p.message.as_str());
    if let Err(error) = host
        .gate
        .throttle(&route.destination.owner, bucket, until, reason)
        .await
    {
        // In force in this run; only a restart before then would not know of it.
        tracing::warn!(%error, owner = route.destination.owner, "a closed limit could not be kept");
    }
}

/// The known remotes with one of them as it is there now.
fn with(known: &[Remote], there: &Remote) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = known
        .iter()
        .filter(|r| (&r.kind, &r.sub_id) != (&there.kind, &there.sub_id))
        .cloned()
        .collect();
    remotes.push(there.clone());
    remotes
}
