//! Admits calls: counts arrivals, checks the limits, draws the faults, and logs every call.
//!
//! A lock of its own protects this state for microseconds at a time, so that no work on objects
//! delays a stamp. The stamp is taken inside the lock, so that the log is in the order of stamps.

use std::sync::Arc;

use axum::http::Method;

use crate::{
    clock::{Clock, Stamp},
    refusal::Refusal,
    scenario::Scenario,
};

use super::{
    call_log::{Call, CallEnd},
    faults::{FaultDecision, FaultScript},
    limits::Meter,
};

#[derive(Debug)]
pub(crate) struct Arrivals {
    scenario: Arc<Scenario>,
    meters: Vec<Meter>,
    script: FaultScript,
    calls: Vec<Call>,
    counts: Counts,
    /// The counted calls that are open now. A reset does not change it.
    in_flight: u64,
    /// Incremented by each reset, so that a call from before it changes no record of the new log.
    epoch: u64,
}

/// The counts since the start or the last reset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Calls that counted against the limits.
    pub(crate) counted: u64,
    /// The counted calls that broke at least one limit.
    pub(crate) exceeded: u64,
    /// The counted calls that arrived during a cool-down.
    pub(crate) while_closed: u64,
    /// The first and the last counted arrivals.
    pub(crate) span: Option<(Stamp, Stamp)>,
}

/// A call that has arrived, and the decision about it.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) epoch: u64,
    /// The call's position in the log, from 1.
    pub(crate) seq: u64,
    pub(crate) counted: bool,
    pub(crate) scenario: Arc<Scenario>,
    /// The drawn faults, or the refusal of a call that broke a limit or arrived during a cool-down.
    pub(crate) verdict: Result<FaultDecision, Refusal>,
}

impl Arrivals {
    pub(crate) fn new(scenario: Arc<Scenario>) -> Self {
        Self {
            meters: scenario.limits.iter().cloned().map(Meter::new).collect(),
            script: FaultScript::new(scenario.faults.clone(), scenario.seed),
            calls: Vec::new(),
            counts: Counts::default(),
            in_flight: 0,
            epoch: 0,
            scenario,
        }
    }

    /// Stamps, judges and logs a call whose head has just arrived.
    pub(crate) fn arrive(&mut self, clock: &Clock, method: Method, path: &str) -> Arrival {
        let at = clock.now();
        let counted = path.starts_with("/v1/") || self.scenario.count_tokens;
        self.calls.push(Call {
            at,
            method,
            path: Arc::from(path),
            counted,
            end: CallEnd::Open,
            status: 0,
            items: 0,
            duration_us: 0,
        });
        let verdict = if counted {
            self.judge(at)
        } else {
            Ok(FaultDecision::default())
        };
        Arrival {
            epoch: self.epoch,
            seq: self.calls.len() as u64,
            counted,
            scenario: Arc::clone(&self.scenario),
            verdict,
        }
    }

    fn judge(&mut self, at: Stamp) -> Result<FaultDecision, Refusal> {
        let counts = &mut self.counts;
        counts.counted += 1;
        counts.span = Some((counts.span.map_or(at, |(first, _)| first), at));
        self.in_flight += 1;
        let closed_us = self.script.closed_for_us(at);
        self.script.arrived(counts.counted, at);
        let faults = self.script.draw();

        // Every limit counts the call, even if another limit has already refused it.
        let mut exceeded_us = None;
        for meter in &mut self.meters {
            exceeded_us = exceeded_us.max(meter.arrive(at, self.in_flight));
        }
        counts.exceeded += u64::from(exceeded_us.is_some());
        counts.while_closed += u64::from(closed_us.is_some());
        let reason = match (exceeded_us, closed_us) {
            (None, None) => return Ok(faults),
            (Some(_), _) => "limit exceeded",
            (None, Some(_)) => "cool-down",
        };
        let wait_us = exceeded_us.max(closed_us).unwrap_or(0);
        Err(Refusal::LimitExceeded { reason, wait_us })
    }

    /// Ends a call: completes its record and frees its place among the open calls.
    pub(crate) fn end(&mut self, clock: &Clock, arrival: &Ended) {
        self.in_flight -= u64::from(arrival.counted);
        if arrival.epoch != self.epoch {
            return;
        }
        let now = clock.now();
        let position = usize::try_from(arrival.seq - 1).unwrap_or(usize::MAX);
        if let Some(call) = self.calls.get_mut(position) {
            call.end = arrival.end;
            call.status = arrival.status;
            call.items = arrival.items;
            call.duration_us = now.us_since(call.at);
        }
    }

    /// Continues under another scenario.
    pub(crate) fn change(&mut self, scenario: Arc<Scenario>) {
        let mut before = std::mem::take(&mut self.meters).into_iter();
        for limit in &scenario.limits {
            let kept = before.next().filter(|meter| meter.limit() == limit);
            let meter = kept.unwrap_or_else(|| Meter::new(limit.clone()));
            self.meters.push(meter);
        }
        if scenario.seed != self.scenario.seed {
            self.script.reseed(scenario.seed);
        }
        self.script.replace(scenario.faults.clone());
        self.scenario = scenario;
    }

    /// Forgets everything except the scenario and the open calls.
    pub(crate) fn reset(&mut self) {
        let fresh = Self::new(Arc::clone(&self.scenario));
        let before = std::mem::replace(self, fresh);
        self.in_flight = before.in_flight;
        self.epoch = before.epoch + 1;
    }

    pub(crate) fn scenario(&self) -> Arc<Scenario> {
        Arc::clone(&self.scenario)
    }

    /// The limits, with their counts.
    pub(crate) fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// The log, in order of arrival.
    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(crate) const fn counts(&self) -> Counts {
        self.counts
    }

    /// The microseconds between the first and the last counted calls in which the shop was in a
    /// cool-down.
    pub(crate) fn closed_us(&self) -> u64 {
        self.counts.span.map_or(0, |(first, last)| {
            self.script.closed_us_between(first, last)
        })
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) counted: bool,
    pub(crate) end: CallEnd,
    /// 0: no status.
    pub(crate) status: u16,
    pub(crate) items: u64,
}
