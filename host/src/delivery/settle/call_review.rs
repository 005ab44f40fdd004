//! One call under review: everything on which the verdicts of its items depend.

use std::collections::{BTreeMap, HashSet};

use egression_core::domain::action::Action;
use egression_core::domain::judge::{
    CallVerdict, CredentialCheck, JudgeInput, Verdict, judge, missing_outcome,
};
use egression_core::time::Wall;

use super::history_events;
use super::history_excerpt::{exchanges_of, kept_lines};
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::invocation::Invocation;
use crate::delivery::job_store::Parent;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::store::rows::NewEvent;

#[derive(Debug)]
pub struct CallReview<'a> {
    pub route: &'a Route,
    pub call: i64,
    pub invocation: &'a Invocation,
    /// What the error of the call means, if it ended with one.
    pub verdict: Option<CallVerdict>,
    /// The call as a whole reported that the session or token expired.
    pub expired: bool,
    /// What a check after the call found out about the credential.
    pub credential: CredentialCheck,
    /// The exchanges and lines of that check.
    pub check: CallLog,
    /// Only a limit of this host refused requests; the destination did not ask for fewer.
    pub limited_here: bool,
    /// The objects that items are blocked on, by item index.
    pub parents: BTreeMap<u32, Vec<Parent>>,
    /// The idempotency keys of the items.
    pub keys: HashSet<String>,
    /// Some item got an outcome other than `not-attempted`.
    pub advanced: bool,
    pub batch_size: u32,
    /// Uniform in 0..1, drawn once for all items.
    pub draw: f64,
    pub now: Wall,
}

/// An item with its verdict.
#[derive(Debug)]
pub struct Judged {
    pub index: u32,
    pub item: Work,
    pub verdict: Verdict,
}

impl CallReview<'_> {
    pub fn judge(&self, item: &Work, index: u32) -> Verdict {
        let outcome = self.invocation.outcomes.get(&index).cloned();
        let evidence = self.invocation.evidence;
        let input = JudgeInput {
            action: item.action(),
            idempotent: item.is_idempotent(self.route),
            declares_upsert: item
                .support(self.route)
                .is_some_and(|support| support.actions.contains(&Action::Upsert)),
            reconciles: self.route.reconciles(),
            rules: &self.route.channel.retry,
            outcome: outcome.clone().unwrap_or_else(|| missing_outcome(evidence)),
            evidence,
            attempts_before: item.row.attempts,
            conflicts_before: item.row.conflicts,
            answer_lost_before: item.pinned.answer_lost,
            pinned_before: item.row.pinned.is_some(),
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

    /// The call in the history of one of its items: login, send, answers, check.
    pub fn events(&self, item: &Work, index: u32) -> Vec<NewEvent> {
        let (items, attempt, now) = (self.batch_size, item.attempt(), self.now);
        let mut events = history_events::of_call(&self.invocation.login, None, items, attempt, now);
        let key = &item.pinned.idempotency_key;
        if let Some(sent_at) = self.invocation.sent_at {
            let description = self.route.description();
            let connector = format!("{} {}", description.name, description.version);
            events.push(history_events::sent(
                sent_at, attempt, self.call, items, key, &connector,
            ));
        }
        let log = &self.invocation.log;
        let lines = kept_lines(&log.lines, Some(index), items);
        let exchanges = exchanges_of(&log.exchanges, key, &self.keys);
        events.extend(history_events::responded(exchanges, &lines, attempt, now));
        events.extend(history_events::of_call(
            &self.check,
            None,
            items,
            attempt,
            now,
        ));
        events
    }

    /// A limit of this host had no room and the destination did not ask for fewer requests. The
    /// host keeps its own limits itself, so the connection's limit stays open.
    pub fn keeps_open(&self, bucket: Option<&str>) -> bool {
        bucket.is_none() && self.limited_here
    }

    /// Admission cannot see why the item must wait: it looks only at limits that cover every
    /// request, and knows no costs. So the store holds the job.
    pub fn is_unseen(&self, bucket: Option<&str>) -> bool {
        let in_part = |name: &str| {
            let limits = &self.route.destination.limits;
            limits
                .iter()
                .any(|limit| limit.name.as_deref() == Some(name) && !limit.operations.is_empty())
        };
        self.keeps_open(bucket) || bucket.is_some_and(in_part)
    }
}
