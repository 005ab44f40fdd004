//! Behaviors that demand too much of the host itself. Each reports the result in a problem:
//! `attack.refused` with the host's message, or `attack.passed`.

use egression_sdk::{
    Algorithm, Call, CredentialError, Encoding, HttpError, Item, ItemOutcome, Outcome, Problem,
    Remote, Request, Response, SignRequest,
};

const MIB: usize = 1024 * 1024;

/// Deposits a secret that is too long, then a thousand short secrets.
pub(crate) fn deposit(call: &Call<'_>, items: &[Item]) -> Vec<ItemOutcome> {
    const MANY: u32 = 1_000;
    let keep = |name: &str, bytes: usize| call.channel().deposit(name, &"s".repeat(bytes), None);
    let long = result(keep("long", MIB));
    let kept = (0..MANY)
        .filter(|number| keep(&format!("name-{number}"), 1_000).is_ok())
        .count();
    report(items, long.map_err(|why| format!("{kept} kept; {why}")))
}

/// Signs more data than the host allows in one call.
pub(crate) fn sign(call: &Call<'_>, items: &[Item]) -> Vec<ItemOutcome> {
    report(items, result(call.channel().sign(&digest(12 * MIB))))
}

/// Signs as much data as the host allows, again and again.
pub(crate) fn sign_forever(call: &Call<'_>) {
    let request = digest(MIB - 1);
    while call.channel().sign(&request).is_ok() {}
}

fn digest(bytes: usize) -> SignRequest {
    let data = "d".repeat(bytes);
    SignRequest {
        algorithm: Algorithm::Md5,
        key: String::new(),
        data,
        encoding: Encoding::Hex,
        attrs: Vec::new(),
    }
}

/// Sends thousands of requests at once.
pub(crate) fn send_all(call: &Call<'_>, url: &str, items: &[Item]) -> Vec<ItemOutcome> {
    const MANY: usize = 3_000;
    let mut answers = call.channel().send_all(&vec![Request::get(url); MANY]);
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    let last = answers.pop().map_or(Ok(()), sent);
    report(
        items,
        last.map_err(|why| format!("{answered} answered; {why}")),
    )
}

/// Sends a request with too many headers.
pub(crate) fn headers(call: &Call<'_>, url: &str, items: &[Item]) -> Vec<ItemOutcome> {
    const MANY: u32 = 30_000;
    let request = (0..MANY).fold(Request::put(url), |request, number| {
        request.header(format!("x-{number}"), "")
    });
    report(items, sent(call.send(&request)))
}

/// Sends a request with too many costs.
pub(crate) fn costs(call: &Call<'_>, url: &str, items: &[Item]) -> Vec<ItemOutcome> {
    const MANY: u32 = 1_000;
    let request = (0..MANY).fold(Request::put(url), |request, number| {
        request.cost(format!("cost-{number}"), 1)
    });
    report(items, sent(call.send(&request)))
}

/// Sends a body that would grow to gigabytes with a long secret.
pub(crate) fn placeholders(call: &Call<'_>, url: &str, items: &[Item]) -> Vec<ItemOutcome> {
    const MANY: usize = 100_000;
    let body = result(call.channel().deposit("long", &"s".repeat(60_000), None))
        .and_then(|()| {
            call.channel()
                .placeholder("long")
                .map_err(|error| reason(&error))
        })
        .map(|text| format!("[{}0]", format!("\"{text}\",").repeat(MANY)));
    let answer = body.and_then(|body| {
        sent(call.send(&Request::put(url).json_text(body).placeholders_in_json()))
    });
    report(items, answer)
}

/// Delivers each item with too many remote ids.
pub(crate) fn remotes(items: &[Item]) -> Vec<ItemOutcome> {
    const MANY: usize = 200_000;
    let remote = Remote {
        kind: String::new(),
        id: "1".to_owned(),
        version: None,
        url: None,
        sub_id: None,
    };
    ItemOutcome::for_all(items, &Outcome::delivered(vec![remote; MANY]))
}

fn result<T>(answer: Result<T, CredentialError>) -> Result<(), String> {
    answer.map(drop).map_err(|error| reason(&error))
}

fn reason(error: &CredentialError) -> String {
    match error {
        CredentialError::Missing(name) => format!("no secret {name}"),
        CredentialError::Invalid(why) => why.clone(),
    }
}

fn sent(answer: Result<Response, HttpError>) -> Result<(), String> {
    answer
        .map(drop)
        .map_err(|error| Problem::from_http(&error).message)
}

fn report(items: &[Item], result: Result<(), String>) -> Vec<ItemOutcome> {
    let problem = match result {
        Ok(()) => Problem::new("attack.passed", "the host accepted it"),
        Err(why) => Problem::new("attack.refused", why),
    };
    ItemOutcome::for_all(items, &Outcome::rejected(problem))
}
