//! Waits for an execution to change, on the announcements of store and configuration. Holds no
//! worker, and ends with the client's patience, or when the host stops.

use std::time::Duration;

use egression_core::domain::ids::ExecutionSeq;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::middleware::auth::Caller;
use crate::api::http::problem::ApiError;
use crate::api::middleware::keyed_limit::Permit;
use crate::api::state::ApiState;
use crate::store::rows::ExecutionStatus;

/// How long changes are collected before the state is read again, in milliseconds. A busy execution
/// changes often.
const SETTLE_MS: u64 = 25;

/// A place among those of the caller that wait, for as long as the request does, which holds no
/// other place then. None: nothing is to be waited for (0 ms), or too many wait already
/// (`waits_per_key`), and the answer is given at once.
#[must_use]
pub fn permit(state: &ApiState, caller: &Caller, wait_ms: u64) -> Option<Permit> {
    let permit = state
        .wait_limit
        .acquire(caller.principal())
        .filter(|_| wait_ms > 0)?;
    caller.serving.release();
    Some(permit)
}

/// The execution as soon as `enough`, or as it stands after `wait_ms`. None: there is no such
/// execution.
pub async fn until(
    state: &ApiState,
    execution: ExecutionSeq,
    wait_ms: u64,
    enough: impl Fn(&ExecutionStatus) -> bool,
) -> Result<Option<ExecutionStatus>, ApiError> {
    // Listening begins before the first look, so that no change falls between the two.
    let mut changes = state.store.changes();
    let mut configured = state.configuration.changed();
    let mut ready = state.ready.clone();
    let deadline = state.clock.instant(state.clock.mono().plus_ms(wait_ms));
    let mut first = true;
    loop {
        let status = state.store.execution(execution).await?;
        if wait_ms == 0 || status.as_ref().is_none_or(&enough) {
            return Ok(status);
        }
        if !first && !pause(state, deadline).await {
            return Ok(state.store.execution(execution).await?);
        }
        first = false;
        loop {
            tokio::select! {
                () = sleep_until(deadline) => return Ok(state.store.execution(execution).await?),
                // The store closes only after this, so whoever waits still gets an answer.
                () = stopping(&mut ready) => return Ok(status),
                // A pause is a change of what the execution waits for.
                Ok(()) = configured.changed() => break,
                change = changes.recv() => match change {
                    Ok(changed) if changed != execution => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    // The store is closing; what it says next says so.
                    Err(RecvError::Closed) => return Ok(status),
                },
            }
        }
    }
}

/// The host does not serve any more, or not yet.
async fn stopping(ready: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end as well.
    let _ = ready.wait_for(|ready| !ready).await;
}

/// Lets changes collect; false if the deadline comes first.
async fn pause(state: &ApiState, deadline: Instant) -> bool {
    let end = state.clock.instant(state.clock.mono()) + Duration::from_millis(SETTLE_MS);
    if end >= deadline {
        sleep_until(deadline).await;
        return false;
    }
    sleep_until(end).await;
    true
}
