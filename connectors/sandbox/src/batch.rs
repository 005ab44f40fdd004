//! One request for all items: `POST /v1/{type}/batch`.
//!
//! The shop judges each item separately and answers in the order of the items. The difficult case
//! is a request that fails as a whole: what does it prove about each item?

use egression_sdk::{
    Action, Call, CallError, HttpError, Item, ItemOutcome, Outcome, Problem, Request, Response,
    call_error_from_http, call_error_from_status, outcome_from_status,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{self, Answer};
use crate::session::Access;

#[derive(Serialize)]
struct Batch<'a> {
    items: Vec<Part<'a>>,
}

/// One item in the shop's format.
#[derive(Serialize)]
struct Part<'a> {
    id: &'a str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    idempotency_key: &'a str,
    // Raw, so that the bytes pass through without being parsed and serialized again.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<PartResult>,
}

#[derive(Deserialize)]
struct PartResult {
    id: String,
    #[serde(flatten)]
    answer: Answer,
}

/// Sends all items at once.
pub(crate) fn deliver(
    call: &Call<'_>,
    access: &Access,
    url: String,
    items: &[Item],
) -> Result<Vec<ItemOutcome>, CallError> {
    // An item that does not fit into the batch is rejected alone, before anything is sent.
    let mut outcomes = Vec::with_capacity(items.len());
    let mut sent = Vec::with_capacity(items.len());
    let mut parts = Vec::with_capacity(items.len());
    for item in items {
        match part(item) {
            Ok(part) => {
                parts.push(part);
                sent.push(item);
            }
            Err(problem) => outcomes.push(item.settled(Outcome::rejected(problem))),
        }
    }
    if sent.is_empty() {
        return Ok(outcomes);
    }
    // If the shop counts items instead of requests, the operator sets a limit with
    // `counts = "items"`.
    let items_sent = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let request = access
        .on(Request::post(url).json(&Batch { items: parts }))
        .cost("items", items_sent);
    let answered = match call.send(&request) {
        Ok(response) => judge(&response, &sent)?,
        Err(error) => without_answer(call, &error, &sent)?,
    };
    outcomes.extend(answered);
    Ok(outcomes)
}

fn part(item: &Item) -> Result<Part<'_>, Problem> {
    let body = match &item.body {
        Some(text) => Some(
            serde_json::from_str(text)
                .map_err(|error| Problem::new("body.invalid", error.to_string()))?,
        ),
        None => None,
    };
    Ok(Part {
        id: &item.object.id,
        action: match item.action {
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Upsert => "upsert",
        },
        version: answer::expected_version(item),
        idempotency_key: &item.idempotency_key,
        body,
    })
}

/// No answer came back. If the request may have left, each item is `unknown`. The host knows which
/// actions may be repeated, and repeats them with the same bytes and keys.
fn without_answer(
    call: &Call<'_>,
    error: &HttpError,
    items: &[&Item],
) -> Result<Vec<ItemOutcome>, CallError> {
    match call_error_from_http(error, false, call.now_ms()) {
        Some(call_error) => Err(call_error),
        None => Ok(each(items, |_| Outcome::unknown(Problem::from_http(error)))),
    }
}

fn judge(response: &Response, items: &[&Item]) -> Result<Vec<ItemOutcome>, CallError> {
    if response.is_success() {
        return Ok(judge_parts(response, items));
    }
    let problem = answer::problem(response);
    // After 401, 413, 429 and 503 with Retry-After, nothing of the request was applied, so the
    // whole call ends.
    if let Some(error) = call_error_from_status(response, items.len()) {
        return Err(error.because(problem));
    }
    match response.status {
        400 | 422 if items.len() > 1 => Err(CallError::BatchRefused(problem)),
        // The endpoint does not exist. This is not "no such object", after which a delete succeeds.
        404 | 405 => Err(CallError::SettingsInvalid(problem)),
        // A bare 5xx proves nothing. The host's table decides for each item.
        _ => Ok(each(items, |item| {
            outcome_from_status(response, item).because(problem.clone())
        })),
    }
}

/// The results are in the order of the items. A result in the wrong place proves nothing about its
/// item.
fn judge_parts(response: &Response, items: &[&Item]) -> Vec<ItemOutcome> {
    let results = match response.json::<Results>() {
        Ok(Results { results }) => results,
        Err(problem) => return each(items, |_| Outcome::unknown(problem.clone())),
    };
    let mut results = results.into_iter();
    each(items, |item| match results.next() {
        Some(result) if result.id == item.object.id => result.answer.outcome(item),
        _ => Outcome::unknown(Problem::new(
            "answer.missing",
            "the answer to the batch has no result for this item",
        )),
    })
}

fn each(items: &[&Item], mut outcome: impl FnMut(&Item) -> Outcome) -> Vec<ItemOutcome> {
    items
        .iter()
        .map(|item| item.settled(outcome(item)))
        .collect()
}
