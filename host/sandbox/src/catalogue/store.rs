//! The store: applies items one by one, remembers their idempotency keys and logs them.
//!
//! The order of the checks is the shop's contract. An invalid item is refused first. A known
//! idempotency key then replays its answer, even if the object has changed since. The precondition
//! and the references come last.

use std::sync::Arc;

use crate::{
    clock::{Clock, Stamp},
    object::ObjectKey,
    refusal::Refusal,
    scenario::Scenario,
};

use super::{
    attempt::{Attempt, Work},
    idempotency::{Content, IdempotencyKeys},
    objects::{Catalogue, Object, Success},
    write_log::{Write, WriteLog, WriteResult},
};

#[derive(Debug)]
pub(crate) struct Store {
    scenario: Arc<Scenario>,
    catalogue: Catalogue,
    keys: IdempotencyKeys,
    log: WriteLog,
    missing_reference_calls: u64,
    missing_reference_items: u64,
}

/// The answer to one item.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Result<Success, Refusal>,
    /// The answer was replayed for a known idempotency key.
    pub(crate) replayed: bool,
}

/// The result of one call.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) answers: Vec<Answer>,
    /// At least one item was applied.
    pub(crate) applied: bool,
    /// The call reached a count at which all tokens are revoked.
    pub(crate) revokes_tokens: bool,
}

impl Store {
    pub(crate) fn new(scenario: &Arc<Scenario>) -> Self {
        Self {
            scenario: Arc::clone(scenario),
            catalogue: Catalogue::default(),
            keys: IdempotencyKeys::default(),
            log: WriteLog::default(),
            missing_reference_calls: 0,
            missing_reference_items: 0,
        }
    }

    /// Continues under another scenario.
    pub(crate) fn change(&mut self, scenario: &Arc<Scenario>) {
        self.scenario = Arc::clone(scenario);
    }

    /// Applies or refuses each item of a call separately, in order.
    pub(crate) fn take(&mut self, attempts: &[Attempt], call: u64, clock: &Clock) -> Taken {
        let at = clock.now();
        let applied_before = self.log.applied();
        let answers: Vec<Answer> = attempts
            .iter()
            .map(|attempt| self.take_one(attempt, call, at))
            .collect();
        let missing = answers
            .iter()
            .filter(|answer| matches!(answer.outcome, Err(Refusal::ReferenceMissing { .. })))
            .count() as u64;
        self.missing_reference_items += missing;
        self.missing_reference_calls += u64::from(missing > 0);
        let passed = applied_before + 1..=self.log.applied();
        let revocations = &self.scenario.faults.token_revocations;
        Taken {
            answers,
            applied: !passed.is_empty(),
            revokes_tokens: revocations.iter().any(|count| passed.contains(count)),
        }
    }

    /// Logs the items of a call that was drawn to fail.
    pub(crate) fn fail(&mut self, attempts: &[Attempt], call: u64, clock: &Clock) {
        let at = clock.now();
        for attempt in attempts {
            let answer = Answer {
                outcome: Err(Refusal::Unavailable),
                replayed: false,
            };
            self.log.record(attempt, call, at, write_result(&answer));
        }
    }

    fn take_one(&mut self, attempt: &Attempt, call: u64, at: Stamp) -> Answer {
        let answer = match self.replay(attempt) {
            Ok(Some(first)) => Answer {
                outcome: Ok(first),
                replayed: true,
            },
            Ok(None) => Answer {
                outcome: self.apply(attempt),
                replayed: false,
            },
            Err(refusal) => Answer {
                outcome: Err(refusal),
                replayed: false,
            },
        };
        self.log.record(attempt, call, at, write_result(&answer));
        answer
    }

    fn replay(&self, attempt: &Attempt) -> Result<Option<Success>, Refusal> {
        match (&attempt.work, &attempt.idempotency_key) {
            (Err(refusal), _) => Err(refusal.clone()),
            (Ok(_), None) => Ok(None),
            (Ok(_), Some(key)) => self.keys.replay(key, &content(attempt)),
        }
    }

    fn apply(&mut self, attempt: &Attempt) -> Result<Success, Refusal> {
        let success = match attempt.work.as_ref().map_err(Clone::clone)? {
            Work::Put(precondition, body) => {
                self.catalogue.put(&attempt.target, *precondition, body)
            }
            Work::Delete(precondition) => self.catalogue.delete(&attempt.target, *precondition),
        }?;
        if let Some(key) = &attempt.idempotency_key {
            self.keys.remember(key.clone(), content(attempt), success);
        }
        Ok(success)
    }

    pub(crate) fn get(&self, target: &ObjectKey) -> Option<Object> {
        self.catalogue.get(target).cloned()
    }

    /// All objects, ordered by type and id.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.catalogue.objects()
    }

    pub(crate) fn writes(&self) -> &[Write] {
        self.log.writes()
    }

    /// The log of writes with its counts.
    pub(crate) const fn log(&self) -> &WriteLog {
        &self.log
    }

    /// The calls and the items that were refused because a referenced object was missing.
    pub(crate) const fn missing_references(&self) -> (u64, u64) {
        (self.missing_reference_calls, self.missing_reference_items)
    }
}

fn content(attempt: &Attempt) -> Content {
    Content {
        target: attempt.target.clone(),
        digest: attempt.digest.clone(),
    }
}

fn write_result(answer: &Answer) -> WriteResult {
    let applied = answer.outcome.is_ok() && !answer.replayed;
    let (status, version, changed) = match &answer.outcome {
        Ok(success) => (success.status(), success.version(), success.changed()),
        Err(refusal) => (refusal.status(), None, false),
    };
    WriteResult {
        status,
        applied,
        replayed: answer.replayed,
        changed: applied && changed,
        version,
    }
}
