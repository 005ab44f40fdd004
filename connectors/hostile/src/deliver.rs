//! The behaviors of `deliver`.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

use egression_sdk::{
    Call, CallError, HttpError, Item, ItemOutcome, Level, Outcome, Problem, Request,
    call_error_from_http, call_error_from_status, outcome_from_http, outcome_from_status,
};

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::poll;

use crate::attack;
use crate::behavior::{Behavior, Settings};

/// The number and length of the lines of `flood_log`.
const FLOOD_LINES: u32 = 100_000;
const FLOOD_LINE_BYTES: usize = 10_000;

/// An index that no call has.
const WRONG_INDEX: u32 = 4_000_000_000;

pub(crate) fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
    let settings: Settings = call.settings()?;
    match settings.behave {
        Behavior::Ok => {}
        Behavior::Loop => spin(),
        Behavior::PollForever => poll_forever(),
        Behavior::Trap => trap("told to trap"),
        Behavior::Poison if items.iter().any(|item| item.object.id == "poison") => {
            trap("swallowed poison")
        }
        Behavior::Poison => {}
        Behavior::EatMemory => eat_memory(),
        Behavior::FloodLog => flood_log(call),
        Behavior::WrongIndex => return Ok(wrong_index()),
        Behavior::Twice => return Ok(twice(items)),
        Behavior::MissingIndex => return Ok(delivered(items.get(1..).unwrap_or_default())),
        #[expect(
            clippy::disallowed_methods,
            reason = "the behavior is to block its thread"
        )]
        Behavior::Sleep => sleep(Duration::from_secs(3_600)),
        Behavior::TrapAfterWrite => trap_after_write(call, &settings.target_url),
        Behavior::ReportThenTrap => report_then_trap(call, items),
        Behavior::EchoSecret => return Ok(echo_secret(call, &settings.target_url, items)),
        Behavior::Write => return write(call, &settings.target_url, items, |_| None),
        Behavior::Weigh => {
            return write(call, &settings.target_url, items, |item| {
                item.object.id.parse().ok()
            });
        }
        Behavior::Reach => {
            let url = settings.elsewhere_url.as_ref();
            return Ok(reach(call, url.unwrap_or(&settings.target_url), items));
        }
        Behavior::HugeDeposit => return Ok(attack::deposit(call, items)),
        Behavior::HugeSign => return Ok(attack::sign(call, items)),
        Behavior::SignForever => attack::sign_forever(call),
        Behavior::SendThousands => return Ok(attack::send_all(call, &settings.target_url, items)),
        Behavior::ManyHeaders => return Ok(attack::headers(call, &settings.target_url, items)),
        Behavior::ManyCosts => return Ok(attack::costs(call, &settings.target_url, items)),
        Behavior::PlaceholderBody => {
            return Ok(attack::placeholders(call, &settings.target_url, items));
        }
        Behavior::Accept => {
            return Ok(ItemOutcome::for_all(
                items,
                &Outcome::accepted("feed-7", None),
            ));
        }
        Behavior::ManyRemotes => return Ok(attack::remotes(items)),
    }
    Ok(delivered(items))
}

fn delivered(items: &[Item]) -> Vec<ItemOutcome> {
    ItemOutcome::for_all(items, &Outcome::delivered(Vec::new()))
}

fn spin() {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

#[expect(clippy::panic, reason = "the behavior is to trap")]
pub(crate) fn trap(why: &str) -> ! {
    panic!("{why}")
}

fn poll_forever() {
    loop {
        let ready = subscribe_duration(0);
        poll(&[&ready]);
    }
}

fn eat_memory() {
    const CHUNK_BYTES: usize = 1024 * 1024;
    let mut eaten = Vec::new();
    loop {
        // Filled, so that the pages exist.
        eaten.push(black_box(vec![1_u8; CHUNK_BYTES]));
    }
}

fn flood_log(call: &Call<'_>) {
    let line = "x".repeat(FLOOD_LINE_BYTES);
    for _ in 0..FLOOD_LINES {
        call.log(Level::Info, &line);
    }
}

fn wrong_index() -> Vec<ItemOutcome> {
    vec![ItemOutcome {
        index: WRONG_INDEX,
        outcome: Outcome::delivered(Vec::new()),
    }]
}

fn twice(items: &[Item]) -> Vec<ItemOutcome> {
    let again = Problem::new("answered.twice", "this item was answered before");
    let mut outcomes = delivered(items);
    outcomes.extend(ItemOutcome::for_all(items, &Outcome::rejected(again)));
    outcomes
}

/// The outcomes depend on the destination.
fn write(
    call: &Call<'_>,
    url: &str,
    items: &[Item],
    weight: impl Fn(&Item) -> Option<u32>,
) -> Result<Vec<ItemOutcome>, CallError> {
    let mut outcomes = Vec::new();
    for item in items {
        let request = Request::put(format!("{url}/{}", item.object.id))
            .header("idempotency-key", &item.idempotency_key);
        let request = request.json_text(item.body.as_deref().unwrap_or("{}"));
        let request = match weight(item) {
            Some(weight) => request.cost("weight", weight),
            None => request,
        };
        let outcome = match call.send(&request) {
            Ok(response) => match call_error_from_status(&response, items.len()) {
                Some(error) => return Err(error),
                None => outcome_from_status(&response, item),
            },
            Err(error) => match call_error_from_http(&error, false, call.now_ms()) {
                Some(error) => return Err(error),
                None => outcome_from_http(&error, false, call.now_ms()),
            },
        };
        outcomes.push(item.settled(outcome));
    }
    Ok(outcomes)
}

fn trap_after_write(call: &Call<'_>, url: &str) {
    let body = serde_json::json!({ "written": true });
    let _ = call.send(&Request::put(url).json(&body));
    trap("told to trap after a write")
}

fn report_then_trap(call: &Call<'_>, items: &[Item]) {
    if let Some(first) = items.first() {
        let _ = call.report(first.settled(Outcome::delivered(Vec::new())));
    }
    trap("told to trap after a report")
}

/// The host must mask the secret before the guest sees the answer.
fn echo_secret(call: &Call<'_>, url: &str, items: &[Item]) -> Vec<ItemOutcome> {
    let saw = match call.send(&Request::get(url)) {
        Ok(response) => {
            let headers: Vec<String> = response
                .headers
                .iter()
                .map(|header| format!("{}: {}", header.name, header.value))
                .collect();
            let body = response.text().unwrap_or("(bytes)");
            format!("{}\n{}\n{body}", response.status, headers.join("\n"))
        }
        Err(error) => Problem::from_http(&error).message,
    };
    call.log(Level::Warn, &saw);
    let problem = Problem::new("echo", saw);
    ItemOutcome::for_all(items, &Outcome::rejected(problem))
}

fn reach(call: &Call<'_>, url: &str, items: &[Item]) -> Vec<ItemOutcome> {
    let problem = match call.send(&Request::get(url)) {
        Ok(response) => Problem::new("reach.answered", format!("status {}", response.status))
            .status(response.status),
        Err(HttpError::Denied(reason)) => Problem::new("reach.denied", reason),
        Err(HttpError::Limited(until_ms)) => {
            Problem::new("reach.limited", format!("until {until_ms}"))
        }
        Err(HttpError::NeverSent(reason)) => Problem::new("reach.never_sent", reason),
        Err(HttpError::SentWithoutAnswer(reason)) => Problem::new("reach.no_answer", reason),
    };
    ItemOutcome::for_all(items, &Outcome::rejected(problem))
}
