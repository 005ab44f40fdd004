//! The log of writes: one record for every item that reached the shop, and the count of repeats.
//!
//! An item is a *repeat under the same key* if an earlier item had the same object and key, and
//! succeeded or belonged to a call answered 503. A refused write was not applied, so sending it
//! again is no repeat. An item is a *repeat under another key* if the object's last such write had
//! the same bytes under another key.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use serde::Serialize;

use crate::{
    clock::{Clock, Stamp},
    object::{ObjectKey, ObjectType},
};

use super::attempt::{Action, Attempt};

/// The result of an item, for its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteResult {
    pub(crate) status: StatusCode,
    /// Applied now, for the first time.
    pub(crate) applied: bool,
    /// Answered from its idempotency key.
    pub(crate) replayed: bool,
    /// The write changed the object's content.
    pub(crate) changed: bool,
    /// The object's version after the write, if it was applied.
    pub(crate) version: Option<u64>,
}

/// One item that reached the shop.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    call: u64,
    at: Stamp,
    target: ObjectKey,
    action: Option<Action>,
    idempotency_key: Option<String>,
    digest: Option<String>,
    result: WriteResult,
}

/// A write as `GET /_sandbox/writes` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct WriteLine<'a> {
    seq: u64,
    call: u64,
    at_ms: u64,
    at_us: u64,
    r#type: ObjectType,
    id: &'a str,
    action: Option<Action>,
    idempotency_key: Option<&'a str>,
    digest: Option<&'a str>,
    applied: bool,
    status: u16,
    replayed: bool,
    changed: bool,
    version: Option<String>,
}

impl Write {
    /// The line for this write. `seq` is its position in the log, from 1.
    pub(crate) fn line(&self, seq: u64, clock: &Clock) -> WriteLine<'_> {
        let at_us = clock.unix_us(self.at);
        WriteLine {
            seq,
            call: self.call,
            at_ms: at_us / 1_000,
            at_us,
            r#type: self.target.object_type,
            id: &self.target.id,
            action: self.action,
            idempotency_key: self.idempotency_key.as_deref(),
            digest: self.digest.as_deref(),
            applied: self.result.applied,
            status: self.result.status.as_u16(),
            replayed: self.result.replayed,
            changed: self.result.changed,
            version: self.result.version.map(|version| version.to_string()),
        }
    }
}

/// All writes, and the counts over them.
#[derive(Debug, Default)]
pub(crate) struct WriteLog {
    writes: Vec<Write>,
    applied: u64,
    repeated_same_key: u64,
    repeated_other_key: u64,
    keys: HashSet<(ObjectKey, String)>,
    /// The digest and the key of each object's last write that was or may have been applied.
    last: HashMap<ObjectKey, (String, String)>,
}

impl WriteLog {
    pub(crate) fn record(&mut self, attempt: &Attempt, call: u64, at: Stamp, result: WriteResult) {
        self.applied += u64::from(result.applied);
        if result.status.is_success() || result.status.is_server_error() {
            self.count_repeats(attempt);
        }
        self.writes.push(Write {
            call,
            at,
            target: attempt.target.clone(),
            action: attempt.action,
            idempotency_key: attempt.idempotency_key.clone(),
            digest: attempt.digest.clone(),
            result,
        });
    }

    fn count_repeats(&mut self, attempt: &Attempt) {
        let Some(key) = &attempt.idempotency_key else {
            return;
        };
        let seen = (attempt.target.clone(), key.clone());
        self.repeated_same_key += u64::from(!self.keys.insert(seen));
        let Some(digest) = &attempt.digest else {
            self.last.remove(&attempt.target);
            return;
        };
        let last = (digest.clone(), key.clone());
        if let Some(before) = self.last.insert(attempt.target.clone(), last) {
            self.repeated_other_key += u64::from(before.0 == *digest && before.1 != *key);
        }
    }

    /// All records, in the order in which the shop processed the items.
    pub(crate) fn writes(&self) -> &[Write] {
        &self.writes
    }

    pub(crate) const fn applied(&self) -> u64 {
        self.applied
    }

    /// Items that repeated an earlier one under its key.
    pub(crate) const fn repeated_same_key(&self) -> u64 {
        self.repeated_same_key
    }

    /// Items that repeated an earlier one's bytes under another key.
    pub(crate) const fn repeated_other_key(&self) -> u64 {
        self.repeated_other_key
    }
}
