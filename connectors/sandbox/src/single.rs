//! One request for each item: `PUT` or `DELETE /v1/{type}/{id}`.
//!
//! A call's items may belong to one partition key, so they go one after the other (`send_all` would
//! let them overtake each other). Each is reported as soon as it is known: if this instance dies in
//! the middle, what was settled stays settled.

use egression_sdk::{
    Action, Call, CallError, HttpError, Item, ItemOutcome, Outcome, Request, Response,
    call_error_from_http, call_error_from_status, outcome_from_http,
};

use crate::answer::{self, Answer};
use crate::session::Access;
use crate::settings::Settings;

/// What one request means for the call.
enum Step {
    /// The item is settled; the next one may go.
    Settled(Outcome),
    /// The item is settled, and going on is pointless or would overtake it.
    SettledLast(Outcome),
    /// Nothing of this item was applied, and no other would fare better.
    End(CallError),
}

/// Sends the items one after the other.
pub(crate) fn deliver(
    call: &Call<'_>,
    access: &Access,
    settings: &Settings,
    items: &[Item],
) -> Result<Vec<ItemOutcome>, CallError> {
    let mut rest = items.iter();
    for item in rest.by_ref() {
        let step = match settings.object_url(&item.object) {
            Ok(url) => match call.send(&request(access, url, item)) {
                Ok(response) => answered(&response, item),
                Err(error) => without_answer(call, &error),
            },
            Err(problem) => Step::Settled(Outcome::rejected(problem)),
        };
        let (outcome, go_on) = match step {
            Step::Settled(outcome) => (outcome, true),
            Step::SettledLast(outcome) => (outcome, false),
            Step::End(error) => return Err(error),
        };
        let stop = call.report(item.settled(outcome));
        if stop || !go_on {
            break;
        }
    }
    // All before are reported. Nothing was sent for those behind, so they wait and spend no
    // attempt.
    Ok(rest
        .map(|item| item.settled(Outcome::NotAttempted))
        .collect())
}

/// The action becomes a precondition (RFC 9110, 13.1): the shop has one address for create, update
/// and upsert.
fn request(access: &Access, url: String, item: &Item) -> Request {
    let request = match item.action {
        Action::Delete => Request::delete(url),
        Action::Create => Request::put(url).header("if-none-match", "*"),
        Action::Update => match answer::expected_version(item) {
            Some(version) => Request::put(url).header("if-match", format!("\"{version}\"")),
            None => Request::put(url).header("if-match", "*"),
        },
        Action::Upsert => Request::put(url),
    };
    let request = request.header("idempotency-key", &item.idempotency_key);
    let request = match &item.body {
        Some(body) => request.json_text(body),
        None => request,
    };
    access.on(request)
}

fn answered(response: &Response, item: &Item) -> Step {
    // 401, 429 and a 503 with Retry-After concern every item alike.
    if let Some(error) = call_error_from_status(response, 1) {
        return Step::End(error.because(answer::problem(response)));
    }
    let answer = Answer::of(response);
    if matches!(response.status, 404 | 405) && answer.code().is_none() {
        // No such endpoint. Not to be confused with 'no such object', which makes a delete a
        // success.
        return Step::End(CallError::SettingsInvalid(answer::problem(response)));
    }
    match answer.outcome(item) {
        // It will be sent again. The next one could be of the same partition key, and must not
        // overtake it.
        outcome @ (Outcome::Retryable(_)
        | Outcome::Throttled(_)
        | Outcome::Conflict(_)
        | Outcome::Unknown(_)) => Step::SettledLast(outcome),
        outcome => Step::Settled(outcome),
    }
}

fn without_answer(call: &Call<'_>, error: &HttpError) -> Step {
    match call_error_from_http(error, false, call.now_ms()) {
        Some(call_error) => Step::End(call_error),
        // This item's answer is lost: nothing may overtake it either.
        None => Step::SettledLast(outcome_from_http(error, false, call.now_ms())),
    }
}
