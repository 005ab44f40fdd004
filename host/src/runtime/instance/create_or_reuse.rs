//! Decides whether a call gets an idle instance of its tenant or a new one.

use egression_core::domain::outcome::CallError;
use egression_core::domain::problem::Problem;
use tokio::sync::OwnedSemaphorePermit;

use super::call_frame::{CallFrame, end_call};
use super::instance_pool::Instance;
use super::trap::trapped;
use crate::runtime::Runtime;
use crate::runtime::connector_call::CallEnd;
use crate::runtime::v0_1::Contract;

/// An idle instance of the tenant if there is one; otherwise a new instance, as soon as a slot is
/// free. Ends the call if no slot is free by the deadline, or if the new instance traps.
pub async fn instance<T>(
    runtime: &Runtime,
    contract: &Contract,
    frame: &CallFrame,
) -> Result<Instance, CallEnd<T>> {
    if let Some(instance) = runtime.pool.take_idle(&frame.tenant) {
        return Ok(instance);
    }
    let deadline = runtime.clock.instant(frame.deadline);
    let Some(slot) = runtime.pool.take_slot(deadline).await else {
        return Err(CallEnd::failed(no_slot(runtime.settings.slots)));
    };
    create(runtime, contract, frame, slot).await
}

async fn create<T>(
    runtime: &Runtime,
    contract: &Contract,
    frame: &CallFrame,
    slot: OwnedSemaphorePermit,
) -> Result<Instance, CallEnd<T>> {
    let mut store = runtime.store();
    frame.begin(runtime, &mut store, Vec::new());
    match frame.meter.metered(contract.instantiate(&mut store)).await {
        Ok(guest) => Ok(Instance {
            tenant: frame.tenant.clone(),
            guest,
            store,
            calls: 0,
            idle_since: runtime.clock.mono(),
            slot,
        }),
        Err(error) => {
            let error = trapped(&error, store.data());
            let end = end_call(&mut store, Err(error), false);
            // The slot is free only after the unfinished instance is gone.
            drop(store);
            drop(slot);
            Err(end)
        }
    }
}

fn no_slot(slots: u32) -> CallError {
    let message =
        format!("all {slots} slots were in use until the call's deadline (see `runtime.slots`)");
    CallError::NotRun(Problem::new("runtime.no_slot", message))
}
