//! Waits until an execution changes, as announced by the store and the configuration. The wait
//! holds no worker. It ends at its deadline, when the client disconnects, or when the host stops.

use std::time::Duration;

use egression_core::domain::ids::ExecutionSeq;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::Caller;
use crate::api::middleware::keyed_limit::Permit;
use crate::api::state::ApiState;
use crate::store::rows::ExecutionStatus;

/// How long changes collect before the state is read again, in milliseconds, because a busy
/// execution changes often.
const SETTLE_MS: u64 = 25;

/// The permit of a request that waits; the request releases its other permits. `None` if there is
/// nothing to wait for (0 ms) or the caller has too many waits (`waits_per_key`): respond at once.
pub fn permit(state: &ApiState, caller: &Caller, wait_ms: u64) -> Option<Permit> {
    let permit = state
        .wait_limit
        .acquire(caller.principal())
        .filter(|_| wait_ms > 0)?;
    caller.serving.release();
    Some(permit)
}

/// The execution as soon as it is `enough`, or its state after `wait_ms`. `None`: it does not
/// exist.
pub async fn until(
    state: &ApiState,
    execution: ExecutionSeq,
    wait_ms: u64,
    enough: impl Fn(&ExecutionStatus) -> bool,
) -> Result<Option<ExecutionStatus>, ApiError> {
    // Subscribe before the first read, so that no change is missed between the two.
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
                // The store closes only after this, so the request still gets its response.
                () = stopping(&mut ready) => return Ok(status),
                // A pause changes what the execution waits for.
                Ok(()) = configured.changed() => break,
                change = changes.recv() => match change {
                    Ok(changed) if changed != execution => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    // The store is closing, and its next answer will show it.
                    Err(RecvError::Closed) => return Ok(status),
                },
            }
        }
    }
}

/// Returns when the host stops.
async fn stopping(ready: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, so the host has stopped, too.
    let _ = ready.wait_for(|ready| !ready).await;
}

/// Lets changes collect. False if the deadline comes first.
async fn pause(state: &ApiState, deadline: Instant) -> bool {
    let end = state.clock.instant(state.clock.mono()) + Duration::from_millis(SETTLE_MS);
    if end >= deadline {
        sleep_until(deadline).await;
        return false;
    }
    sleep_until(end).await;
    true
}
