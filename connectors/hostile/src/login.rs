//! What `authenticate` does: a session, or the reason why there is none.

use egression_sdk::{Call, CallError, Problem, Session};

use crate::TOLD;
use crate::behaviour::{Login, Settings};

/// Behaves as told.
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
