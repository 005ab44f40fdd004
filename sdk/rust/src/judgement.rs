//! Judges a bare status or a failed request, with the host's own table.
//!
//! A status alone does not classify an answer: some destinations answer business errors with 200,
//! others answer all errors with 500. Read the body first, and use these functions if the body does
//! not explain the answer.

use crate::{Action, CallError, HttpError, Item, ItemOutcome, Outcome, Problem, Remote, Response};

/// The wait if a destination throttles without a time.
const DEFAULT_THROTTLE_MS: u64 = 1_000;

/// The outcome of one item, according to the status of its request.
///
/// | status | outcome |
/// |---|---|
/// | 2xx | `delivered`, without remote ids; add those in the answer |
/// | 404 on delete | `delivered`, unchanged |
/// | 401, 423, 425 | `retryable`; for 401, prefer to end the call: see [`call_error_from_status`] |
/// | 408, 5xx | `retryable`: the write may have been applied, which the host takes into account |
/// | 409, 412 | `conflict`, with the version of the `ETag` header |
/// | 429 | `throttled` for the time in `Retry-After`, or 1 s without it |
/// | 3xx | `retryable`: the host follows no redirect |
/// | other 4xx | `rejected`; after 404 or 410 on an update, the host tries `upsert` |
pub fn outcome_from_status(response: &Response, item: &Item) -> Outcome {
    let problem = Problem::from_response(response);
    match response.status {
        200..300 => Outcome::delivered(Vec::new()),
        404 if item.action == Action::Delete => Outcome::unchanged(Vec::new()),
        409 | 412 => Outcome::conflict(remote_with_etag(response, item)),
        429 => Outcome::throttled(throttle_ms(response), Some(problem)),
        401 | 408 | 423 | 425 => Outcome::retryable(response.retry_after_ms(), problem),
        400..500 => Outcome::rejected(problem),
        _ => Outcome::retryable(response.retry_after_ms(), problem),
    }
}

/// The call error for the status of a request with `items` items, if there is one: `auth-expired`
/// for 401, `batch-refused` for 413 with more than one item, `throttled` for 429, and `unavailable`
/// for 503 with `Retry-After`. Only for requests of which nothing was applied.
pub fn call_error_from_status(response: &Response, items: usize) -> Option<CallError> {
    let problem = Problem::from_response(response);
    match response.status {
        401 => Some(CallError::AuthExpired(problem)),
        413 if items > 1 => Some(CallError::BatchRefused(problem)),
        429 => Some(CallError::throttled(throttle_ms(response), Some(problem))),
        503 => response
            .retry_after_ms()
            .map(|after| CallError::unavailable(Some(after), problem)),
        _ => None,
    }
}

/// The outcome of an item whose request got no answer.
///
/// - Never sent: `not-attempted`.
/// - Limited: `throttled` until that time.
/// - Sent without an answer: `unknown`, or `not-attempted` if the request only reads.
/// - Denied: `retryable` with the reason, because an operator may allow the request later.
pub fn outcome_from_http(error: &HttpError, reads_only: bool, now_ms: u64) -> Outcome {
    match error {
        HttpError::NeverSent(_) => Outcome::NotAttempted,
        HttpError::Limited(until_ms) => Outcome::throttled(until_ms.saturating_sub(now_ms), None),
        HttpError::SentWithoutAnswer(_) if reads_only => Outcome::NotAttempted,
        HttpError::SentWithoutAnswer(_) => Outcome::unknown(problem_of(error)),
        HttpError::Denied(_) => Outcome::retryable(None, problem_of(error)),
    }
}

/// The call error for a failed request.
///
/// - Never sent: `unavailable`.
/// - Limited: `throttled` until that time.
/// - Sent without an answer: `unavailable` if the request only reads. Otherwise `None`: the outcome
///   of its items is `unknown`.
/// - Denied: `settings-invalid`.
pub fn call_error_from_http(error: &HttpError, reads_only: bool, now_ms: u64) -> Option<CallError> {
    match error {
        HttpError::NeverSent(_) => Some(CallError::unavailable(None, problem_of(error))),
        HttpError::Limited(until_ms) => {
            Some(CallError::throttled(until_ms.saturating_sub(now_ms), None))
        }
        HttpError::SentWithoutAnswer(_) if reads_only => {
            Some(CallError::unavailable(None, problem_of(error)))
        }
        HttpError::SentWithoutAnswer(_) => None,
        HttpError::Denied(_) => Some(CallError::SettingsInvalid(problem_of(error))),
    }
}

impl Problem {
    /// The problem of a failed request: `http.denied`, `http.limited`, `http.never_sent` or
    /// `http.no_answer`.
    pub fn from_http(error: &HttpError) -> Self {
        problem_of(error)
    }
}

impl ItemOutcome {
    /// The same outcome for all items.
    pub fn for_all(items: &[Item], outcome: &Outcome) -> Vec<Self> {
        items
            .iter()
            .map(|item| item.settled(outcome.clone()))
            .collect()
    }
}

fn problem_of(error: &HttpError) -> Problem {
    match error {
        HttpError::Denied(reason) => Problem::new("http.denied", reason.as_str()),
        HttpError::Limited(until_ms) => Problem::new(
            "http.limited",
            "a limit has no room before the call's deadline",
        )
        .attr("until_ms", until_ms.to_string()),
        HttpError::NeverSent(reason) => Problem::new("http.never_sent", reason.as_str()),
        HttpError::SentWithoutAnswer(reason) => Problem::new("http.no_answer", reason.as_str()),
    }
}

fn throttle_ms(response: &Response) -> u64 {
    response.retry_after_ms().unwrap_or(DEFAULT_THROTTLE_MS)
}

fn remote_with_etag(response: &Response, item: &Item) -> Remote {
    let mut remote = item
        .remotes
        .first()
        .cloned()
        .unwrap_or_else(|| Remote::new(&item.object.object_type, &item.object.id));
    remote.version = response
        .header("etag")
        .map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
    remote
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(action: Action) -> Item {
        Item::new(action, "product", "p1", None)
    }

    fn judged(status: u16, action: Action) -> Outcome {
        outcome_from_status(&Response::new(status, ""), &item(action))
    }

    #[test]
    fn status_table_holds() {
        assert!(matches!(judged(204, Action::Upsert), Outcome::Delivered(d) if d.changed));
        assert!(matches!(judged(404, Action::Delete), Outcome::Delivered(d) if !d.changed));
        for status in [401, 408, 423, 425, 500, 503, 302] {
            let outcome = judged(status, Action::Upsert);
            assert!(
                matches!(&outcome, Outcome::Retryable(r) if r.problem.http_status == Some(status)),
                "{status}: {outcome:?}"
            );
        }
        for status in [400, 403, 404, 410, 413, 422] {
            let outcome = judged(status, Action::Update);
            assert!(
                matches!(&outcome, Outcome::Rejected(p) if p.http_status == Some(status)),
                "{status}: {outcome:?}"
            );
        }
    }

    #[test]
    fn conflict_has_the_version_of_the_destination() {
        let response = Response::new(412, "").with_header("ETag", "W/\"8\"");
        let known = item(Action::Update).known_as(Remote::new("listing", "77").version("7"));
        assert_eq!(
            outcome_from_status(&response, &known),
            Outcome::conflict(Remote::new("listing", "77").version("8"))
        );
    }

    #[test]
    fn throttling_waits_for_the_given_time() {
        let exact = Response::new(429, "")
            .with_header("Retry-After", "1")
            .with_header("Retry-After-Ms", "250");
        let waits = |response: &Response| match outcome_from_status(response, &item(Action::Upsert))
        {
            Outcome::Throttled(throttle) => Some(throttle.retry_after),
            _ => None,
        };
        assert_eq!(waits(&exact), Some(250));
        assert_eq!(waits(&Response::new(429, "")), Some(DEFAULT_THROTTLE_MS));
    }

    #[test]
    fn call_errors_need_that_nothing_was_applied() {
        let of = |status: u16, items| call_error_from_status(&Response::new(status, ""), items);
        assert!(matches!(of(401, 1), Some(CallError::AuthExpired(_))));
        assert!(matches!(of(413, 2), Some(CallError::BatchRefused(_))));
        assert!(of(413, 1).is_none());
        assert!(matches!(of(429, 1), Some(CallError::Throttled(_))));
        assert!(of(503, 1).is_none());
        assert!(of(500, 1).is_none());
        let closed = Response::new(503, "").with_header("Retry-After", "2");
        assert!(matches!(
            call_error_from_status(&closed, 1),
            Some(CallError::Unavailable(r)) if r.after == Some(2_000)
        ));
    }

    #[test]
    fn lost_answer_to_a_write_is_unknown() {
        let lost = HttpError::SentWithoutAnswer("closed".to_owned());
        assert!(matches!(
            outcome_from_http(&lost, false, 0),
            Outcome::Unknown(_)
        ));
        assert!(call_error_from_http(&lost, false, 0).is_none());
        assert_eq!(outcome_from_http(&lost, true, 0), Outcome::NotAttempted);
        let limited = HttpError::Limited(1_500);
        assert!(matches!(
            outcome_from_http(&limited, false, 1_000),
            Outcome::Throttled(t) if t.retry_after == 500
        ));
    }
}
