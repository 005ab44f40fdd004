//! The report: counts since the start or the last reset.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{arrivals::CallEnd, object::ObjectType, scenario::Limit, state::ShopState};

/// All counts that a verdict about a client needs. `GET /_sandbox/report` returns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The seed of the fault draws.
    pub seed: u64,
    /// Requests under `/v1` and to `/oauth/token`.
    pub calls: u64,
    /// The calls that count against the limits.
    pub counted_calls: u64,
    /// Items of all calls whose items were read.
    pub items: u64,
    /// Calls by response status. 0: no answer was sent (dropped, abandoned, open).
    pub by_status: BTreeMap<u16, u64>,
    /// The current limits, in the scenario's order.
    pub limits: Vec<LimitReport>,
    /// Calls that broke at least one limit, judged by the arrival of their head. Includes limits
    /// that were replaced since.
    pub limit_exceeded: u64,
    /// Calls that arrived during a scripted cool-down.
    pub calls_while_closed: u64,
    /// Calls in which at least one item was refused because a referenced object was missing.
    pub missing_reference: u64,
    /// The items refused for that reason.
    pub missing_reference_items: u64,
    /// Items whose object and key an earlier item had that succeeded or was answered 503.
    pub repeated_same_key: u64,
    /// Items with the bytes of the object's last such write, under another key.
    pub repeated_other_key: u64,
    /// Items applied. Includes items that changed nothing, but not replayed answers.
    pub applied: u64,
    /// Calls that were applied, but whose connection was closed without an answer.
    pub dropped_calls: u64,
    /// The items of those calls.
    pub dropped_items: u64,
    /// Calls answered 5xx.
    pub error_5xx_calls: u64,
    /// The items of those calls.
    pub error_5xx_items: u64,
    /// How many times all tokens were revoked.
    pub token_revocations: u64,
    /// Scripted cool-downs between the first and the last counted calls, in milliseconds.
    pub closures_ms: u64,
    /// The time between the first and the last counted calls, in milliseconds.
    pub span_ms: u64,
    /// Objects by type. Every type is listed.
    pub objects: BTreeMap<String, u64>,
}

/// One limit and its usage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitReport {
    pub kind: String,
    /// The limit, as in the scenario.
    pub definition: Limit,
    pub requests: u64,
    /// The requests that broke the limit.
    pub exceeded: u64,
    /// Requests ÷ (rate × (span − closures)); null below 500 calls and for concurrency.
    pub used: Option<f64>,
}

impl Report {
    pub(crate) fn of(state: &ShopState) -> Self {
        let mut report = Self::of_arrivals(state);
        report.token_revocations = state.tokens().revocations();
        let store = state.store();
        (report.missing_reference, report.missing_reference_items) = store.missing_references();
        report.repeated_same_key = store.log().repeated_same_key();
        report.repeated_other_key = store.log().repeated_other_key();
        report.applied = store.log().applied();
        for (key, _) in store.objects() {
            *report
                .objects
                .entry(key.object_type.to_string())
                .or_default() += 1;
        }
        report
    }

    /// The counts of arrivals; all other counts are 0.
    fn of_arrivals(state: &ShopState) -> Self {
        let arrivals = state.arrivals();
        let counts = arrivals.counts();
        let span_us = counts.span.map_or(0, |(first, last)| last.us_since(first));
        let closed_us = arrivals.closed_us();
        let limits = arrivals.meters().iter().map(|meter| LimitReport {
            kind: meter.limit().kind().to_owned(),
            definition: meter.limit().clone(),
            requests: meter.requests(),
            exceeded: meter.exceeded(),
            used: meter.used(span_us.saturating_sub(closed_us)),
        });
        let mut report = Self {
            seed: arrivals.scenario().seed,
            calls: arrivals.calls().len() as u64,
            counted_calls: counts.counted,
            items: 0,
            by_status: BTreeMap::new(),
            limits: limits.collect(),
            limit_exceeded: counts.exceeded,
            calls_while_closed: counts.while_closed,
            missing_reference: 0,
            missing_reference_items: 0,
            repeated_same_key: 0,
            repeated_other_key: 0,
            applied: 0,
            dropped_calls: 0,
            dropped_items: 0,
            error_5xx_calls: 0,
            error_5xx_items: 0,
            token_revocations: 0,
            closures_ms: closed_us / 1_000,
            span_ms: span_us / 1_000,
            objects: ObjectType::ALL.map(|known| (known.to_string(), 0)).into(),
        };
        for call in arrivals.calls() {
            report.items += call.items;
            *report.by_status.entry(call.status).or_default() += 1;
            if call.end == CallEnd::Dropped {
                report.dropped_calls += 1;
                report.dropped_items += call.items;
            }
            if call.status >= 500 {
                report.error_5xx_calls += 1;
                report.error_5xx_items += call.items;
            }
        }
        report
    }
}
