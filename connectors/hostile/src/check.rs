//! The behaviors of `check`.

use egression_sdk::{Call, CallError, Findings};

use crate::TOLD;
use crate::behavior::{Check, Settings};

pub(crate) fn check(call: &Call<'_>) -> Result<Findings, CallError> {
    let settings: Settings = call.settings()?;
    match settings.check {
        Check::Works => Ok(Findings::new(None, Vec::new())),
        Check::Tell => {
            call.channel()
                .deposit("told", TOLD, None)
                .map_err(CallError::from_credential)?;
            Ok(Findings::new(
                Some(format!("the account of {TOLD}")),
                Vec::new(),
            ))
        }
    }
}
