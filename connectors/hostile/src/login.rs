//! The behaviors of `authenticate`.

use egression_sdk::{Call, CallError, Problem, Session};

use crate::TOLD;
use crate::behavior::{Login, Settings};

pub(crate) fn authenticate(call: &Call<'_>) -> Result<Session, CallError> {
    let settings: Settings = call.settings()?;
    match settings.login {
        Login::Works => Ok(Session::new(Vec::new())),
        Login::Tell => {
            call.channel()
                .deposit("told", TOLD, None)
                .map_err(CallError::from_credential)?;
            Err(CallError::AuthRejected(Problem::new(
                "login.told",
                format!("{TOLD} is refused"),
            )))
        }
    }
}
