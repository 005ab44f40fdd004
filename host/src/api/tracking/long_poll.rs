//! Waits until an execution changes, as announced by the store and the configuration. The wait
//! holds no worker. It ends at its deadline, when the client disconnects, or when the host stops.

use egression_core::domain::ids::ExecutionSeq;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::Caller;
use crate::api::middleware::keyed_limit::Permit;
use crate::api::state::ApiState;
use crate::store::rows::ExecutionStatus;

/// The longest time, in microseconds, in which changes collect before the state is read again: a
/// busy execution changes often.
const MOST_PAUSE_US: u64 = 25_000;
/// Changes collect for this share of the time waited so far, so that a wait of a few milliseconds
/// ends at once.
const PAUSE_SHARE: u64 = 8;

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
    let began = state.clock.mono();
    let deadline = state.clock.instant(began.plus_ms(wait_ms));
    loop {
        let status = state.store.execution(execution).await?;
        if wait_ms == 0 || status.as_ref().is_none_or(&enough) {
            return Ok(status);
        }
        let now = state.clock.mono();
        let pause_us = (now.since_us(began) / PAUSE_SHARE).min(MOST_PAUSE_US);
        sleep_until(state.clock.instant(now.plus_us(pause_us)).min(deadline)).await;
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
