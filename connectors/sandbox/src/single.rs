//! One request for each item: `PUT` or `DELETE /v1/{type}/{id}`.
//!
//! The items of a call may belong to one partition key, so they are sent one after the other. With
//! `send_all`, they could overtake each other. Each outcome is reported at once, so that it
//! survives a trap of this instance.

use egression_sdk::{
    Action, Call, CallError, HttpError, Item, ItemOutcome, Outcome, Request, Response,
    call_error_from_http, call_error_from_status, outcome_from_http,
};

use crate::answer::{self, Answer};
use crate::session::Access;
use crate::settings::Settings;

/// The effect of one request on the call.
enum Step {
    /// The item is settled; the next item follows.
    Settled(Outcome),
    /// The item is settled; another item would overtake it.
    SettledLast(Outcome),
    /// Nothing of this item was applied, and the next item would fail in the same way.
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
        let (outcome, more) = match step {
            Step::Settled(outcome) => (outcome, true),
            Step::SettledLast(outcome) => (outcome, false),
            Step::End(error) => return Err(error),
        };
        let stop = call.report(item.settled(outcome));
        if stop || !more {
            break;
        }
    }
    // The items before are reported. Nothing was sent for the rest, so their attempt does not
    // count.
    Ok(rest
        .map(|item| item.settled(Outcome::NotAttempted))
        .collect())
}

/// The shop has one URL for create, update and upsert. A precondition (RFC 9110, 13.1) expresses
/// the action.
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
    // 401, 429 and 503 with Retry-After apply to all items.
    if let Some(error) = call_error_from_status(response, 1) {
        return Step::End(error.because(answer::problem(response)));
    }
    let answer = Answer::of(response);
    if matches!(response.status, 404 | 405) && answer.code().is_none() {
        // The endpoint does not exist. This is not "no such object", after which a delete succeeds.
        return Step::End(CallError::SettingsInvalid(answer::problem(response)));
    }
    match answer.outcome(item) {
        // The item will be sent again. The next item may belong to the same partition key, and must
        // not overtake it.
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
        // The answer is lost. The next item must not overtake this one.
        None => Step::SettledLast(outcome_from_http(error, false, call.now_ms())),
    }
}
