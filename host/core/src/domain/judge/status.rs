//! The host's own table from HTTP statuses to outcomes, if the connector does not know better.
//!
//! A status alone is not reliable: destinations answer business errors with 200 and with 500. So
//! this table comes last. `Retry-After` is read as RFC 9110 §10.2.3 defines it.

use super::bounds::THROTTLE_DEFAULT_MS;
use crate::domain::action::Action;
use crate::domain::object::Remote;
use crate::domain::outcome::Outcome;
use crate::domain::problem::Problem;
use crate::time::Wall;

/// The meaning of a status for one item, with the classes of RFC 9110 §15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusMeaning {
    /// 2xx.
    Applied,
    /// 404 or 410 on a delete: there is nothing left to do.
    AlreadyGone,
    /// 404 or 410 on an update: the id map is outdated.
    MissingThere,
    /// 401: the token is refused.
    CredentialRefused,
    /// 413: fewer items at once may be accepted.
    TooLarge,
    /// 409 or 412: the destination has another version.
    Conflict,
    /// 429.
    Throttled,
    /// 423 locked (RFC 4918 §11.3), 425 too early (RFC 8470 §5.2): not applied, perhaps later.
    Later,
    /// 408, 5xx, and statuses that are no final answer to a write (1xx, 3xx): it may have been
    /// applied.
    ProvesNothing,
    /// 403: the item is at fault (some destinations answer 403 for a missing one), or the
    /// credential's permissions are.
    Forbidden,
    /// Other 4xx.
    Refused,
}

/// The meaning of `status` for an item that was sent as `action`.
pub const fn status_meaning(action: Action, status: u16) -> StatusMeaning {
    match (status, action) {
        (200..=299, _) => StatusMeaning::Applied,
        (404 | 410, Action::Delete) => StatusMeaning::AlreadyGone,
        (404 | 410, Action::Update) => StatusMeaning::MissingThere,
        (401, _) => StatusMeaning::CredentialRefused,
        (403, _) => StatusMeaning::Forbidden,
        (409 | 412, _) => StatusMeaning::Conflict,
        (413, _) => StatusMeaning::TooLarge,
        (423 | 425, _) => StatusMeaning::Later,
        (429, _) => StatusMeaning::Throttled,
        (408, _) => StatusMeaning::ProvesNothing,
        (400..=499, _) => StatusMeaning::Refused,
        _ => StatusMeaning::ProvesNothing,
    }
}

/// An answer with only a known status.
#[derive(Clone, Debug)]
pub struct StatusAnswer {
    pub status: u16,
    /// From the answer's `Retry-After`, see [`retry_after_ms`].
    pub retry_after_ms: Option<u64>,
    /// The version at the destination, if the answer names it (an `ETag`).
    pub there: Option<Remote>,
    /// The problem for people. Its status is set from `status`.
    pub problem: Problem,
}

/// The outcome of an item with only a known status. [`judge`](super::judge) finds the status in the
/// problem, and applies the rules that depend on the manifest and on the batch.
pub fn outcome_from_status(action: Action, answer: StatusAnswer) -> Outcome {
    let StatusAnswer {
        status,
        retry_after_ms: after_ms,
        there,
        problem,
    } = answer;
    let problem = problem.status(status);
    match (status_meaning(action, status), there) {
        (StatusMeaning::Applied, there) => Outcome::Delivered {
            remotes: there.into_iter().collect(),
            changed: true,
            warnings: Vec::new(),
        },
        (StatusMeaning::AlreadyGone, _) => Outcome::Delivered {
            remotes: Vec::new(),
            changed: false,
            warnings: vec![problem],
        },
        (StatusMeaning::Conflict, Some(there)) => Outcome::Conflict(there),
        (StatusMeaning::Throttled, _) => Outcome::Throttled {
            bucket: None,
            retry_after_ms: after_ms.unwrap_or(THROTTLE_DEFAULT_MS),
            problem: Some(problem),
        },
        (
            StatusMeaning::MissingThere
            | StatusMeaning::TooLarge
            | StatusMeaning::Forbidden
            | StatusMeaning::Refused,
            _,
        ) => Outcome::Rejected(problem),
        (
            StatusMeaning::Conflict
            | StatusMeaning::CredentialRefused
            | StatusMeaning::Later
            | StatusMeaning::ProvesNothing,
            _,
        ) => Outcome::Retryable { after_ms, problem },
    }
}

/// Reads a `Retry-After`: a number of seconds or an HTTP date (RFC 9110 §10.2.3), as milliseconds
/// from `now`; 0 for a date that is past. None if it is neither.
pub fn retry_after_ms(value: &str, now: Wall) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(
            value
                .parse::<u64>()
                .map_or(u64::MAX, |seconds| seconds.saturating_mul(1000)),
        );
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    Some(u64::try_from(Wall(date.as_millisecond()).since_ms(now)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(action: Action, status: u16) -> Outcome {
        outcome_from_status(
            action,
            StatusAnswer {
                status,
                retry_after_ms: None,
                there: None,
                problem: Problem::new("http", "…"),
            },
        )
    }

    #[test]
    fn status_table_covers_every_class() {
        let meanings = [
            (204, StatusMeaning::Applied),
            (302, StatusMeaning::ProvesNothing),
            (400, StatusMeaning::Refused),
            (401, StatusMeaning::CredentialRefused),
            (403, StatusMeaning::Forbidden),
            (404, StatusMeaning::Refused),
            (408, StatusMeaning::ProvesNothing),
            (409, StatusMeaning::Conflict),
            (412, StatusMeaning::Conflict),
            (413, StatusMeaning::TooLarge),
            (422, StatusMeaning::Refused),
            (423, StatusMeaning::Later),
            (425, StatusMeaning::Later),
            (429, StatusMeaning::Throttled),
            (500, StatusMeaning::ProvesNothing),
            (503, StatusMeaning::ProvesNothing),
        ];
        for (status, meaning) in meanings {
            assert_eq!(status_meaning(Action::Upsert, status), meaning, "{status}");
        }
        assert_eq!(
            status_meaning(Action::Delete, 404),
            StatusMeaning::AlreadyGone
        );
        assert_eq!(
            status_meaning(Action::Update, 410),
            StatusMeaning::MissingThere
        );
    }

    #[test]
    fn status_becomes_an_outcome_that_carries_it() {
        assert!(matches!(
            outcome(Action::Create, 201),
            Outcome::Delivered { changed: true, .. }
        ));
        assert!(matches!(
            outcome(Action::Delete, 404),
            Outcome::Delivered { changed: false, .. }
        ));
        assert!(matches!(
            outcome(Action::Update, 404),
            Outcome::Rejected(p) if p.http_status == Some(404)
        ));
        assert!(matches!(
            outcome(Action::Create, 403),
            Outcome::Rejected(p) if p.http_status == Some(403)
        ));
        assert!(matches!(
            outcome(Action::Create, 503),
            Outcome::Retryable { problem: p, .. } if p.http_status == Some(503)
        ));
        assert!(matches!(
            outcome(Action::Create, 429),
            Outcome::Throttled {
                bucket: None,
                retry_after_ms: 1000,
                ..
            }
        ));
        assert!(
            matches!(outcome(Action::Update, 412), Outcome::Retryable { .. }),
            "without the version that is there"
        );
        let there = Remote {
            kind: "product".into(),
            id: "9".into(),
            version: Some("4".into()),
            url: None,
            sub_id: None,
        };
        let answer = StatusAnswer {
            status: 412,
            retry_after_ms: None,
            there: Some(there.clone()),
            problem: Problem::new("http", "…"),
        };
        assert_eq!(
            outcome_from_status(Action::Update, answer),
            Outcome::Conflict(there)
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Wall::parse_rfc3339("1994-11-06T08:49:07Z").expect("an instant");
        assert_eq!(retry_after_ms(" 120 ", now), Some(120_000));
        assert_eq!(
            retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(30_000)
        );
        assert_eq!(
            retry_after_ms("Sun, 06 Nov 1994 08:00:00 GMT", now),
            Some(0)
        );
        assert_eq!(
            retry_after_ms("99999999999999999999999", now),
            Some(u64::MAX)
        );
        for nonsense in ["", "-1", "1.5", "soon"] {
            assert_eq!(retry_after_ms(nonsense, now), None, "{nonsense}");
        }
    }
}
