//! The log of calls: one record for every request to the shop, in the order of arrival.

use std::sync::Arc;

use axum::http::Method;
use serde::Serialize;

use crate::clock::{Clock, Stamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CallEnd {
    Open,
    /// The client was sent an answer.
    Answered,
    /// The connection was closed in place of the answer.
    Dropped,
    /// The client disconnected before the answer.
    Abandoned,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// When its head arrived.
    pub(crate) at: Stamp,
    pub(crate) method: Method,
    pub(crate) path: Arc<str>,
    /// Whether it counted against the limits.
    pub(crate) counted: bool,
    pub(crate) end: CallEnd,
    /// The answer's status; 0: no answer yet, or none at all.
    pub(crate) status: u16,
    pub(crate) items: u64,
    pub(crate) duration_us: u64,
}

/// A call as `GET /_sandbox/calls` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct CallLine<'a> {
    seq: u64,
    at_ms: u64,
    at_us: u64,
    method: &'a str,
    path: &'a str,
    status: u16,
    items: u64,
    duration_ms: u64,
    counted: bool,
    end: CallEnd,
}

impl Call {
    /// The line for this call. `seq` is its position in the log, from 1.
    pub(crate) fn line(&self, seq: u64, clock: &Clock) -> CallLine<'_> {
        let at_us = clock.unix_us(self.at);
        CallLine {
            seq,
            at_ms: at_us / 1_000,
            at_us,
            method: self.method.as_str(),
            path: &self.path,
            status: self.status,
            items: self.items,
            duration_ms: self.duration_us / 1_000,
            counted: self.counted,
            end: self.end,
        }
    }
}
