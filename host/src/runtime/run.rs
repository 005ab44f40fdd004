//! One call of one guest, from the slot to the end. Runs on the guests' own threads and always
//! comes to an end: the guest computes within its budget, waits within its deadline, and whatever
//! it does becomes a [`CallEnd`].

use std::sync::Arc;

use egression_core::domain::outcome::CallError;
use egression_core::domain::problem::Problem;
use egression_core::time::Mono;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::Runtime;
use super::abilities::Abilities;
use super::asks::Ask;
use super::budget::HostTrap;
use super::call::CallEnd;
use super::guest::GuestState;
use super::journal::cut;
use super::slots::{Instance, Tenant};
use super::v0_1::Contract;

/// Bytes kept of what an engine says about a trap.
const MAX_REASON_BYTES: usize = 1_024;

/// What a call needs beside the question.
pub(super) struct Frame {
    pub(super) tenant: Tenant,
    pub(super) abilities: Arc<dyn Abilities>,
    pub(super) deadline: Mono,
    pub(super) reusable: bool,
}

/// Asks a connector on the guests' threads. A caller that goes away does not stop the guest.
pub(super) async fn run<A: Ask>(
    runtime: &Arc<Runtime>,
    contract: &Arc<Contract>,
    frame: Frame,
    ask: A,
) -> CallEnd<A::Answer> {
    let (sender, receiver) = oneshot::channel();
    let task = {
        let (runtime, contract) = (Arc::clone(runtime), Arc::clone(contract));
        async move {
            let end = Box::pin(perform(&runtime, &contract, frame, ask)).await;
            // Nobody waits any more if the caller went away.
            let _ = sender.send(end);
        }
    };
    runtime.guests().spawn(task);
    receiver.await.unwrap_or_else(|_| {
        failed(CallError::Trapped(Problem::new(
            "guest.trap",
            "the call ended without a result",
        )))
    })
}

async fn perform<A: Ask>(
    runtime: &Runtime,
    contract: &Contract,
    frame: Frame,
    ask: A,
) -> CallEnd<A::Answer> {
    let mut instance = match runtime.slots.take_idle(&frame.tenant) {
        Some(instance) => instance,
        None => {
            let Some(slot) = runtime
                .slots
                .take(runtime.clock.instant(frame.deadline))
                .await
            else {
                return failed(no_slot(runtime.settings.slots));
            };
            match instantiate(runtime, contract, &frame, slot).await {
                Ok(instance) => instance,
                Err(end) => return end.map_never(),
            }
        }
    };
    begin(runtime, &mut instance.store, &frame, ask.asked());
    let meter = instance.store.data().meter.clone();
    let answered = meter
        .metered(ask.ask(&instance.guest, &mut instance.store))
        .await;
    let trapped = answered.is_err();
    let result = match answered {
        Ok(result) => result,
        Err(error) => Err(trap(&error, instance.store.data())),
    };
    let end = finish(&mut instance.store, result, instance.calls > 0);
    instance.calls += 1;
    if frame.reusable && !trapped && instance.calls < runtime.settings.calls_per_instance {
        instance.idle_since = runtime.clock.mono();
        runtime.slots.put_back(instance);
    }
    end
}

async fn instantiate(
    runtime: &Runtime,
    contract: &Contract,
    frame: &Frame,
    slot: OwnedSemaphorePermit,
) -> Result<Instance, CallEnd<std::convert::Infallible>> {
    let mut store = runtime.store();
    begin(runtime, &mut store, frame, Vec::new());
    let meter = store.data().meter.clone();
    match meter.metered(contract.instantiate(&mut store)).await {
        Ok(guest) => Ok(Instance {
            tenant: frame.tenant.clone(),
            guest,
            store,
            calls: 0,
            idle_since: runtime.clock.mono(),
            slot,
        }),
        Err(error) => {
            let error = trap(&error, store.data());
            let end = finish(&mut store, Err(error), false);
            // The slot is free only when the half-made instance is gone.
            drop(store);
            drop(slot);
            Err(end)
        }
    }
}

fn begin(runtime: &Runtime, store: &mut Store<GuestState>, frame: &Frame, asked: Vec<u32>) {
    let end = frame.deadline.plus_ms(runtime.settings.grace_ms);
    store.data_mut().begin(
        Arc::clone(&frame.abilities),
        asked,
        frame.deadline,
        end,
        runtime.settings.cpu_budget_ms,
    );
    store.set_epoch_deadline(1);
}

fn finish<T>(
    store: &mut Store<GuestState>,
    result: Result<T, CallError>,
    reused_instance: bool,
) -> CallEnd<T> {
    let state = store.data_mut();
    let cpu_us = state.meter.used_us();
    let logs = state.journal.take();
    CallEnd {
        result,
        reported: state.finish(),
        logs,
        cpu_us,
        reused_instance,
    }
}

/// What a trap means, in plain words.
fn trap(error: &wasmtime::Error, state: &GuestState) -> CallError {
    let problem = if let Some(host) = error.downcast_ref::<HostTrap>() {
        match host {
            HostTrap::CpuBudget { .. } => Problem::new("guest.cpu_budget", host.to_string()),
            HostTrap::Ability => Problem::new("host.ability", host.to_string()),
            HostTrap::Deadline => Problem::new("guest.deadline", host.to_string()),
        }
    } else if state.memory.refused() {
        let message = format!(
            "the connector asked for more memory than it may have (bound `runtime.memory_bytes`): {}",
            reason(error)
        );
        Problem::new("guest.memory", message)
    } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        Problem::new(
            "guest.trap",
            format!("the connector exited with status {status}"),
        )
    } else {
        let words = state.journal.last_words();
        let said = if words.is_empty() {
            String::new()
        } else {
            format!("; its last words: {words}")
        };
        Problem::new(
            "guest.trap",
            format!("the connector trapped: {}{said}", reason(error)),
        )
    };
    CallError::Trapped(problem)
}

fn reason(error: &wasmtime::Error) -> String {
    let reason = error
        .downcast_ref::<Trap>()
        .map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    cut(reason, MAX_REASON_BYTES)
}

fn no_slot(slots: u32) -> CallError {
    let message =
        format!("all {slots} slots were taken until the call's deadline (bound `runtime.slots`)");
    CallError::NotRun(Problem::new("runtime.no_slot", message))
}

const fn failed<T>(error: CallError) -> CallEnd<T> {
    CallEnd {
        result: Err(error),
        reported: Vec::new(),
        logs: Vec::new(),
        cpu_us: 0,
        reused_instance: false,
    }
}

impl CallEnd<std::convert::Infallible> {
    fn map_never<T>(self) -> CallEnd<T> {
        CallEnd {
            result: self.result.map(|never| match never {}),
            reported: self.reported,
            logs: self.logs,
            cpu_us: self.cpu_us,
            reused_instance: self.reused_instance,
        }
    }
}
