//! Limits that are valid but that the gate's guard cannot protect. They cause a warning, not a
//! refusal, because the operator may know that requests reach the destination quickly.

use egression_core::scheduler::limits::{Guard, LimitKind};

use super::Issue;
use crate::documents::catalogue::Catalogue;
use crate::documents::limits::LimitDocument;

/// The unguarded limits of all documents in force. Pointers begin with the document:
/// `/channels/shop-de/limits/0`.
pub fn unguarded(catalogue: &Catalogue, guard: Guard) -> Vec<Issue> {
    let channels = catalogue
        .channels()
        .map(|c| (format!("/channels/{}", c.document.name), &c.document.limits));
    let connections = catalogue.connections().map(|c| {
        (
            format!(
                "/connections/{}/{}",
                c.document.channel, c.document.subscription
            ),
            &c.document.limits,
        )
    });
    let sources = catalogue
        .sources()
        .map(|s| (format!("/sources/{}", s.document.name), &s.document.limits));
    let all = channels.chain(connections).chain(sources);
    all.flat_map(|(place, limits)| {
        unguarded_limits(limits, guard)
            .into_iter()
            .map(move |issue| issue.under(&place))
    })
    .collect()
}

/// The unguarded limits of one document.
fn unguarded_limits(limits: &[LimitDocument], guard: Guard) -> Vec<Issue> {
    let issue = |(index, limit): (usize, &LimitDocument)| {
        let LimitKind::TokenBucket {
            rate,
            per_ms,
            burst,
        } = limit.kind()
        else {
            return None;
        };
        if guard.covers(limit.kind()) {
            return None;
        }
        let covers = |burst: u32| {
            guard.covers(LimitKind::TokenBucket {
                rate,
                per_ms,
                burst,
            })
        };
        let larger = least(burst, covers).map_or_else(String::new, |burst| {
            format!("raise the burst to at least {burst}, or ")
        });
        let shorter = longest_edge(limit.kind(), guard);
        let detail = format!(
            "a burst of {burst} cannot be guarded: at {rate} requests in {per_ms} ms, requests \
             that bunch up in transit within `gate.edge_guard_ms` ({} ms) may exceed the limit at \
             the \
             destination; {larger}lower `gate.edge_guard_ms` to at most {shorter} ms",
            guard.edge_ms
        );
        Some(Issue::new(
            format!("/limits/{index}/burst"),
            "limit.unguarded",
            detail,
        ))
    };
    limits.iter().enumerate().filter_map(issue).collect()
}

/// The least burst above this one that the guard covers, if any.
fn least(burst: u32, covers: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut low, mut high) = (burst, u32::MAX);
    if !covers(high) {
        return None;
    }
    // A larger burst is never harder to guard.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if covers(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// The longest edge below the guard's that covers the limit.
fn longest_edge(kind: LimitKind, guard: Guard) -> u64 {
    let (mut low, mut high) = (0, guard.edge_ms);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if (Guard {
            edge_ms: middle,
            ..guard
        })
        .covers(kind)
        {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bucket(rate: u32, burst: u32) -> LimitDocument {
        serde_json::from_value(
            json!({"kind": "token_bucket", "rate": rate, "per_ms": 1000, "burst": burst}),
        )
        .unwrap()
    }

    #[test]
    fn burst_that_cannot_be_guarded_is_reported_with_sizes_that_can() {
        let guard = Guard::default();
        let window =
            serde_json::from_value(json!({"kind": "window", "max": 1, "window_ms": 10})).unwrap();
        let issues = unguarded_limits(&[bucket(20, 5), window, bucket(300, 3)], guard);
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert_eq!(
            (issues[0].pointer.as_str(), issues[0].code),
            ("/limits/2/burst", "limit.unguarded")
        );
        // The reported sizes are the first that the guard covers.
        let named = least(3, |burst| guard.covers(bucket(300, burst).kind())).unwrap();
        assert!(
            guard.covers(bucket(300, named).kind()) && !guard.covers(bucket(300, named - 1).kind())
        );
        let edge = longest_edge(bucket(300, 3).kind(), guard);
        assert!(
            (Guard {
                edge_ms: edge,
                ..guard
            })
            .covers(bucket(300, 3).kind())
        );
        assert!(
            !(Guard {
                edge_ms: edge + 1,
                ..guard
            })
            .covers(bucket(300, 3).kind())
        );
        let detail = &issues[0].detail;
        assert!(
            detail.contains(&format!("at least {named}"))
                && detail.contains(&format!("at most {edge} ms")),
            "{detail}"
        );
        assert_eq!(unguarded_limits(&[bucket(300, named)], guard), []);
    }
}
