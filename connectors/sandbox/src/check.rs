//! Checks the connection: asks the shop for the account, and changes nothing.

use egression_sdk::{Call, CallError, Findings, Problem, Request, call_error_from_http};
use serde::Deserialize;

use crate::session::{Access, refused};
use crate::settings::Settings;

#[derive(Deserialize)]
struct Account {
    account: String,
    #[serde(default)]
    scopes: Vec<String>,
}

/// Reads `/v1/account`.
pub(crate) fn check(call: &Call<'_>) -> Result<Findings, CallError> {
    let settings: Settings = call.settings()?;
    let request = Access::of(call, &settings)?.on(Request::get(settings.url("account")));
    let response = call.send(&request).map_err(|error| {
        call_error_from_http(&error, true, call.now_ms())
            .unwrap_or_else(|| CallError::unavailable(None, Problem::from_http(&error)))
    })?;
    if !response.is_success() {
        return Err(refused(&response));
    }
    let account: Account = response.json().map_err(CallError::SettingsInvalid)?;
    Ok(Findings::new(Some(account.account), account.scopes))
}
