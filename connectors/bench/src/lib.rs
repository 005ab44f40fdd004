//! A connector that does as little as possible, so that a benchmark measures the host.
//!
//! The setting `send` controls its requests. The README lists the values.

#![expect(
    clippy::result_large_err,
    reason = "the contract's errors are records by value; a call creates at most one"
)]

use egression_sdk::{
    Action, BodyFormat, Call, CallError, Connector, Description, Item, ItemOutcome, Outcome,
    Request, TypeSupport, call_error_from_http, call_error_from_status, export_connector,
    outcome_from_http, outcome_from_status,
};
use serde::Deserialize;
use serde_json::json;

const MAX_ITEMS: u32 = 100;
const MAX_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Send {
    Nothing,
    Each,
    Batch,
}

#[derive(Deserialize)]
struct Settings {
    send: Send,
    #[serde(default)]
    base_url: String,
}

pub struct Bench;

impl Connector for Bench {
    fn describe() -> Description {
        let any_body = BodyFormat::JsonSchema("true".to_owned());
        let product = TypeSupport::new("product", &[Action::Upsert], any_body)
            .idempotent(&[Action::Upsert])
            .batch(MAX_ITEMS, MAX_BYTES)
            .in_order()
            .example(&json!({}));
        Description::new("bench", env!("CARGO_PKG_VERSION"), "Benchmark guest")
            .object_type(product)
            .auth("none", &[])
            .settings(&json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["send"],
                "properties": {
                    "send": {"enum": ["nothing", "each", "batch"]},
                    "base_url": {"type": "string", "pattern": "^http://"},
                },
            }))
            .host_of_setting("base_url")
            .reusable()
    }

    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        let settings: Settings = call.settings()?;
        match settings.send {
            Send::Nothing => Ok(ItemOutcome::for_all(items, &Outcome::delivered(Vec::new()))),
            Send::Each => items
                .iter()
                .map(|item| each(call, &settings.base_url, item))
                .collect(),
            Send::Batch => batch(call, &settings.base_url, items),
        }
    }
}

fn each(call: &Call<'_>, base_url: &str, item: &Item) -> Result<ItemOutcome, CallError> {
    let body = item.body.as_deref().unwrap_or("null");
    let url = format!("{base_url}/{}", item.object.id);
    let request = Request::post(url)
        .header("idempotency-key", &item.idempotency_key)
        .json_text(body);
    let outcome = match call.send(&request) {
        Ok(response) => outcome_from_status(&response, item),
        Err(error) => match call_error_from_http(&error, false, call.now_ms()) {
            Some(error) => return Err(error),
            None => outcome_from_http(&error, false, call.now_ms()),
        },
    };
    Ok(item.settled(outcome))
}

fn batch(call: &Call<'_>, base_url: &str, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
    let bytes = items.iter().filter_map(|item| item.body.as_ref());
    let mut lines = String::with_capacity(bytes.map(|body| body.len() + 1).sum());
    for item in items {
        lines.push_str(item.body.as_deref().unwrap_or("null"));
        lines.push('\n');
    }
    match call.send(&Request::post(base_url).json_text(&lines)) {
        Ok(response) => match call_error_from_status(&response, items.len()) {
            Some(error) => Err(error),
            None => Ok(items
                .iter()
                .map(|item| item.settled(outcome_from_status(&response, item)))
                .collect()),
        },
        Err(error) => match call_error_from_http(&error, false, call.now_ms()) {
            Some(error) => Err(error),
            None => {
                let outcome = outcome_from_http(&error, false, call.now_ms());
                Ok(ItemOutcome::for_all(items, &outcome))
            }
        },
    }
}

export_connector!(Bench);
