//! The verdict, from the logs of the shops.
//!
//! - *expected*: objects × channels
//! - *present*: expected objects that the shop has
//! - *lost*: expected objects that the shop does not have
//! - *wrong*: present objects whose content differs from the source's last version
//! - *inversion*: a first delivery before the first delivery of an earlier job of its key
//! - *limit exceeded*: requests that broke a limit, judged by the arrival of their head
//! - *missing reference*: calls refused because a referenced object was missing
//! - *repeated, same key* and *other key*: the same object and bytes again, under the same
//!   idempotency key or under another one

use std::collections::HashMap;

use anyhow::Result;
use egression_sandbox::Report;
use egression_tests::order::{AcceptedOrder, Delivered};
use egression_tests::shop::{Call, Present, ShopLog, Write};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::Object;
use crate::configuration::CHANNELS;

/// While jobs wait for a limit, the host must use at least this share of it.
const LEAST_USED: f64 = 0.95;

/// From this number of counted calls on, the host must report the share that it used.
const LEAST_JUDGED: u64 = 500;

pub(crate) struct Evidence {
    pub(crate) report: Report,
    writes: Vec<Write>,
    calls: Vec<Call>,
    objects: Vec<Present>,
}

impl Evidence {
    /// Reads the logs of a shop.
    pub(crate) async fn ask(shop: &ShopLog) -> Result<Self> {
        Ok(Self {
            report: shop.report().await?,
            writes: shop.writes().await?,
            calls: shop.calls().await?,
            objects: shop.objects().await?,
        })
    }
}

/// A connection's use of its limits, by the host's figures.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct HostUsage {
    pub(crate) requests: u64,
    pub(crate) possible: f64,
    /// Requests ÷ possible; none below 500 requests.
    pub(crate) used: Option<f64>,
    /// Requests that were never sent, including those outside of `requests`.
    #[serde(skip)]
    pub(crate) never_sent: u64,
}

pub(crate) struct ShopVerdict {
    pub(crate) report: Report,
    pub(crate) usage: HostUsage,
    pub(crate) expected: u64,
    pub(crate) present: u64,
    pub(crate) wrong: u64,
    pub(crate) delivered: Delivered,
    /// The items in calls on objects, and the number of those calls.
    pub(crate) carried: (u64, u64),
}

pub(crate) struct Verdict {
    /// Shop A and shop B.
    pub(crate) shops: [ShopVerdict; 2],
    /// The execution at the end.
    pub(crate) execution: Value,
    /// Requests to the source, and objects that it served.
    pub(crate) source: (u64, u64),
    pub(crate) seconds: f64,
}

/// The line of `--output json`.
#[derive(Serialize)]
struct Line {
    expected: u64,
    present: u64,
    lost: u64,
    wrong: u64,
    inversions: u64,
    limit_exceeded: u64,
    missing_reference: u64,
    repeated_same_key: u64,
    repeated_other_key: u64,
    limit_used: Used,
    seconds: f64,
}

#[derive(Serialize)]
struct Used {
    a: Option<f64>,
    b: Option<f64>,
}

/// Compares the evidence with the catalogue.
pub(crate) fn judge(
    objects: &[Object],
    execution: Value,
    evidence: [Evidence; 2],
    usage: [HostUsage; 2],
    source: (u64, u64),
    seconds: f64,
) -> Verdict {
    let digests: HashMap<(&str, &str), String> = objects
        .iter()
        .map(|object| ((object.object_type, object.id.as_str()), object.digest()))
        .collect();
    let mut usage = usage.into_iter();
    let shops = evidence.map(|evidence| {
        judge_shop(
            objects,
            &digests,
            evidence,
            usage.next().unwrap_or(HostUsage::NONE),
        )
    });
    Verdict {
        shops,
        execution,
        source,
        seconds,
    }
}

fn judge_shop(
    objects: &[Object],
    digests: &HashMap<(&str, &str), String>,
    evidence: Evidence,
    usage: HostUsage,
) -> ShopVerdict {
    let mut order = AcceptedOrder::default();
    for object in objects {
        // One key per object, with one job.
        let key = format!("{} {}", object.object_type, object.id);
        order.push(
            &key,
            object.object_type,
            &object.id,
            &digests[&(object.object_type, object.id.as_str())],
        );
    }
    let (mut present, mut wrong) = (0, 0);
    for found in &evidence.objects {
        if let Some(digest) = digests.get(&(found.object_type.as_str(), found.id.as_str())) {
            present += 1;
            wrong += u64::from(*digest != found.digest);
        }
    }
    let on_objects = evidence.calls.iter().filter(|call| call.items > 0);
    let carried = on_objects.fold((0, 0), |(items, calls), call| {
        (items + call.items, calls + 1)
    });
    let delivered = order.judge(&evidence.writes);
    ShopVerdict {
        report: evidence.report,
        usage,
        expected: objects.len() as u64,
        present,
        wrong,
        delivered,
        carried,
    }
}

impl HostUsage {
    const NONE: Self = Self {
        requests: 0,
        possible: 0.0,
        used: None,
        never_sent: 0,
    };

    /// An objection if the shop's count contradicts the host's figures.
    fn objection(&self, name: &str, calls: u64, counted: u64) -> Option<String> {
        let (requests, never_sent) = (self.requests, self.never_sent);
        if calls > requests || requests - calls > never_sent {
            return Some(format!(
                "the host counted {requests} requests to {name}, {never_sent} of them never sent, \
                 but the shop counted {calls}"
            ));
        }
        (self.used.is_none() && counted >= LEAST_JUDGED)
            .then(|| format!("limit_used of {name} is null, but the shop counted {counted} calls"))
    }
}

impl ShopVerdict {
    /// Repeats that lost answers explain: items of calls that got no answer or a 5xx.
    pub(crate) fn repeats_explained(&self) -> u64 {
        self.report.dropped_items + self.report.error_5xx_items
    }

    pub(crate) fn lost(&self) -> u64 {
        self.expected - self.present
    }

    /// The highest use of any of its limits, by the shop's figures: requests ÷ (rate × (span −
    /// cool-downs)).
    pub(crate) fn shop_used(&self) -> Option<f64> {
        self.report
            .limits
            .iter()
            .filter_map(|limit| limit.used)
            .reduce(f64::max)
    }
}

impl Verdict {
    /// All violations, as text. Empty if the verdict is clean.
    pub(crate) fn objections(&self) -> Vec<String> {
        let line = self.numbers();
        let mut objections = Vec::new();
        let must_be_none = [
            ("lost", line.lost),
            ("wrong", line.wrong),
            ("inversions", line.inversions),
            ("limit_exceeded", line.limit_exceeded),
            ("missing_reference", line.missing_reference),
            ("repeated_other_key", line.repeated_other_key),
        ];
        objections.extend(
            must_be_none
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{name} is {count}, must be 0")),
        );
        for (name, used) in [("a", line.limit_used.a), ("b", line.limit_used.b)] {
            if used.is_some_and(|used| used < LEAST_USED) {
                objections.push(format!(
                    "limit_used of {name} is {:.3}, must be at least {LEAST_USED}",
                    used.unwrap_or_default()
                ));
            }
        }
        for (name, shop) in CHANNELS.iter().zip(&self.shops) {
            objections.extend(shop.usage.objection(
                name,
                shop.report.calls,
                shop.report.counted_calls,
            ));
        }
        for shop in self
            .shops
            .iter()
            .filter(|shop| shop.delivered.repeated_same_key > shop.repeats_explained())
        {
            let (repeats, explained) = (shop.delivered.repeated_same_key, shop.repeats_explained());
            objections.push(format!(
                "{repeats} repeats under the same key, but lost answers explain only {explained}"
            ));
        }
        // All objects arrived, so every other status is wrong.
        if self.execution["status"] != "succeeded" {
            objections.push(format!(
                "the execution's status is {}, must be \"succeeded\"",
                self.execution["status"]
            ));
        }
        objections
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.objections().is_empty()
    }

    /// The verdict as one line of JSON.
    pub(crate) fn line(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.numbers())?)
    }

    fn numbers(&self) -> Line {
        let sum = |of: fn(&ShopVerdict) -> u64| self.shops.iter().map(of).sum();
        let [a, b] = &self.shops;
        Line {
            expected: sum(|shop| shop.expected),
            present: sum(|shop| shop.present),
            lost: sum(ShopVerdict::lost),
            wrong: sum(|shop| shop.wrong),
            inversions: sum(|shop| shop.delivered.inversions),
            limit_exceeded: sum(|shop| shop.report.limit_exceeded),
            missing_reference: sum(|shop| shop.report.missing_reference),
            repeated_same_key: sum(|shop| shop.delivered.repeated_same_key),
            repeated_other_key: sum(|shop| shop.delivered.repeated_other_key),
            limit_used: Used {
                a: a.usage.used.map(thousandths),
                b: b.usage.used.map(thousandths),
            },
            seconds: thousandths(self.seconds),
        }
    }
}

/// Rounded down: 0.9499 is not 0.95.
fn thousandths(number: f64) -> f64 {
    (number * 1_000.0).floor() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::HostUsage;

    #[test]
    fn host_count_is_compared_with_the_shop() {
        let usage = HostUsage {
            requests: 600,
            possible: 610.0,
            used: Some(0.98),
            never_sent: 3,
        };
        assert_eq!(usage.objection("a", 600, 590), None);
        assert_eq!(usage.objection("a", 597, 590), None);
        assert!(
            usage.objection("a", 596, 590).is_some(),
            "never-sent requests do not explain the difference"
        );
        assert!(
            usage.objection("a", 601, 590).is_some(),
            "the host missed a call"
        );
        let silent = HostUsage {
            used: None,
            ..usage
        };
        assert!(silent.objection("a", 600, 500).is_some());
        assert_eq!(silent.objection("a", 600, 499), None);
    }
}
