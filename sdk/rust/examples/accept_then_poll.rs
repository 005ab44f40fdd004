//! A connector for a destination that accepts a feed and decides later, with all optional
//! interfaces.

#![expect(
    clippy::result_large_err,
    reason = "the contract's errors are records by value; a call creates at most one"
)]

use egression_sdk::{
    Action, Call, CallError, Connector, Description, Item, ItemOutcome, Outcome, Pending, Problem,
    Reconciliation, Request, Response, SettingsMigration, Settlement, TypeSupport, Verdict,
    call_error_from_http, call_error_from_status, export_connector, path_segment,
};
use serde_json::json;

const FEEDS: &str = "https://feeds.example.com/v1";
const POLL_AFTER_MS: u64 = 60_000;

struct Feeds;

impl Connector for Feeds {
    fn describe() -> Description {
        let actions = [Action::Upsert];
        Description::new("feeds", "0.1.0", "A marketplace of feeds")
            .object_type(TypeSupport::standard("offer", &actions).batch(25_000, 64 * 1024 * 1024))
            .auth("oauth2_client_credentials", &[])
            .settings(
                &json!({ "type": "object", "properties": { "market": { "type": "string" } } }),
            )
            .host("feeds.example.com")
    }

    /// Sends one feed for all items. Its id is the token of each item.
    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        let bodies: Vec<_> = items
            .iter()
            .map(|item| (&item.object.id, &item.body))
            .collect();
        let request = Request::post(format!("{FEEDS}/feeds")).json(&bodies);
        let unknown = |problem| ItemOutcome::for_all(items, &Outcome::unknown(problem));
        match call.send(&request) {
            Ok(response) if response.is_success() => match feed_id(&response) {
                Ok(id) => {
                    let accepted = Outcome::accepted(id, Some(POLL_AFTER_MS));
                    Ok(ItemOutcome::for_all(items, &accepted))
                }
                Err(problem) => Ok(unknown(problem)),
            },
            Ok(response) => call_error_from_status(&response, items.len())
                .map_or_else(|| Ok(unknown(Problem::from_response(&response))), Err),
            Err(error) => call_error_from_http(&error, false, call.now_ms())
                .map_or_else(|| Ok(unknown(Problem::from_http(&error))), Err),
        }
    }
}

impl Settlement for Feeds {
    fn poll(call: &Call<'_>, tokens: &[Pending]) -> Result<Vec<Verdict>, CallError> {
        let verdict = |pending: &Pending| {
            let done = path_segment(&pending.token).is_ok_and(|token| {
                let request = Request::get(format!("{FEEDS}/feeds/{token}"));
                call.send(&request)
                    .is_ok_and(|response| response.status == 200)
            });
            let delivered = Outcome::delivered(Vec::new());
            Verdict {
                token: pending.token.clone(),
                settled: if done {
                    ItemOutcome::for_all(&pending.items, &delivered)
                } else {
                    Vec::new()
                },
                again_after: (!done).then_some(POLL_AFTER_MS),
                finished: done,
            }
        };
        Ok(tokens.iter().map(verdict).collect())
    }
}

impl Reconciliation for Feeds {
    fn reconcile(_call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        let problem = Problem::new("feed.unsearchable", "feeds cannot be searched by object");
        Ok(ItemOutcome::for_all(items, &Outcome::unknown(problem)))
    }
}

impl SettingsMigration for Feeds {
    fn migrate_settings(_from_version: &str, settings: &str) -> Result<String, Problem> {
        Ok(settings.to_owned())
    }
}

fn feed_id(response: &Response) -> Result<String, Problem> {
    let answer: serde_json::Value = response.json()?;
    let id = answer["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| Problem::new("answer.unreadable", "the answer names no feed"))
}

export_connector!(Feeds, settlement, reconciliation, settings_migration);
