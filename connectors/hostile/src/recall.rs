//! The behaviors of `reconcile`.

use egression_sdk::{
    Call, CallError, Item, ItemOutcome, Outcome, Problem, Request, call_error_from_http,
    call_error_from_status,
};

use crate::behavior::{Recall, Settings};
use crate::deliver::trap;

pub(crate) fn reconcile(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
    let settings: Settings = call.settings()?;
    match settings.recall {
        Recall::Unsupported => Err(CallError::Unsupported(Problem::new(
            "recall.unsupported",
            "told that it cannot tell",
        ))),
        Recall::Look => items
            .iter()
            .map(|item| look(call, &settings.target_url, item))
            .collect(),
        Recall::Guess => Ok(ItemOutcome::for_all(items, &Outcome::NotAttempted)),
        Recall::Trap => trap("told to trap when asked"),
    }
}

fn look(call: &Call<'_>, url: &str, item: &Item) -> Result<ItemOutcome, CallError> {
    let request = Request::get(format!("{url}/{}", item.object.id));
    let response = call.send(&request).map_err(|error| {
        call_error_from_http(&error, true, call.now_ms())
            .unwrap_or_else(|| CallError::unavailable(None, Problem::from_http(&error)))
    })?;
    if let Some(error) = call_error_from_status(&response, 1) {
        return Err(error);
    }
    Ok(item.settled(match response.status {
        200 => Outcome::delivered(Vec::new()),
        404 => Outcome::NotAttempted,
        _ => Outcome::unknown(Problem::from_response(&response)),
    }))
}
