//! Authenticates without seeing a secret.
//!
//! Without `login`, the host attaches the connection's credential. With `login`, the connector logs
//! in. It sends the *placeholder* of the secret `api_key`, which the host replaces when the request
//! leaves. It then deposits the token that the shop issued, and sends the placeholder of the token
//! in all other requests. The session contains this placeholder, so one login serves all instances
//! until it expires.

use egression_sdk::{
    Call, CallError, Problem, Request, Session, call_error_from_http, call_error_from_status,
};
use serde::Deserialize;
use serde_json::json;

use crate::answer;
use crate::settings::Settings;

/// How a request authenticates.
pub(crate) enum Access {
    /// The host attaches the connection's credential.
    Host,
    /// The value of the `Authorization` header, with a placeholder for the token.
    Token(String),
}

impl Access {
    /// The access of this call's requests.
    ///
    /// # Errors
    /// `auth-expired` if the connector must log in first. The host then calls `authenticate`.
    pub(crate) fn of(call: &Call<'_>, settings: &Settings) -> Result<Self, CallError> {
        if !settings.login {
            return Ok(Self::Host);
        }
        match call.session.and_then(Session::text) {
            Some(header) if !header.is_empty() => Ok(Self::Token(header.to_owned())),
            _ => Err(CallError::AuthExpired(Problem::new(
                "session.missing",
                "the connection has not logged in yet",
            ))),
        }
    }

    /// Adds the access to a request.
    pub(crate) fn on(&self, request: Request) -> Request {
        match self {
            Self::Host => request,
            Self::Token(header) => request.auth_none().header("authorization", header),
        }
    }
}

/// The shop's answer to a login.
#[derive(Deserialize)]
struct Login {
    token: String,
    expires_in: u64,
    account: Option<String>,
}

/// Logs in. Without `login`, the session is empty.
pub(crate) fn authenticate(call: &Call<'_>) -> Result<Session, CallError> {
    let settings: Settings = call.settings()?;
    if !settings.login {
        return Ok(Session::new(Vec::new()));
    }
    let body = json!({ "api_key": call.placeholder("api_key")? });
    // A login changes no object. Declared as reading only, a lost answer makes no outcome unknown.
    let request = Request::post(settings.url("login"))
        .json(&body)
        .placeholders_in_json()
        .auth_none()
        .reads_only();
    let response = call.send(&request).map_err(|error| {
        call_error_from_http(&error, true, call.now_ms())
            .unwrap_or_else(|| CallError::unavailable(None, Problem::from_http(&error)))
    })?;
    match response.status {
        200 => {}
        // At a login, 401 means that the shop refuses the key itself. Only a person can fix that.
        401 | 403 => return Err(CallError::AuthRejected(answer::problem(&response))),
        _ => return Err(refused(&response)),
    }
    let login: Login = response.json().map_err(CallError::Internal)?;
    let expires_at_ms = call
        .now_ms()
        .saturating_add(login.expires_in.saturating_mul(1_000));
    call.channel()
        .deposit("token", &login.token, Some(expires_at_ms))
        .map_err(CallError::from_credential)?;
    let header = format!("Bearer {}", call.placeholder("token")?);
    let session = Session::new(header).expires_at_ms(expires_at_ms);
    Ok(match login.account {
        Some(account) => session.account(account),
        None => session,
    })
}

/// The call error for a failed request without items.
pub(crate) fn refused(response: &egression_sdk::Response) -> CallError {
    let problem = answer::problem(response);
    match call_error_from_status(response, 1) {
        Some(error) => error.because(problem),
        None if response.status >= 500 => {
            CallError::unavailable(response.retry_after_ms(), problem)
        }
        None if response.status == 403 => CallError::AuthRejected(problem),
        None => CallError::SettingsInvalid(problem),
    }
}
