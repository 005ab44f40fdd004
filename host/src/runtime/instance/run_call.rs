//! Runs one call of one guest on the guests' own threads. Each call ends: the guest computes within
//! its CPU budget and waits within its deadline, and whatever it does becomes a [`CallEnd`].

use std::sync::Arc;

use egression_core::domain::outcome::CallError;
use egression_core::domain::problem::Problem;
use tokio::sync::oneshot;

use super::call_frame::{CallFrame, end_call};
use super::contract_calls::GuestCall;
use super::create_or_reuse;
use super::trap::trapped;
use crate::runtime::Runtime;
use crate::runtime::connector_call::CallEnd;
use crate::runtime::v0_1::Contract;
use crate::telemetry::layer_cpu::Layer;

/// Calls a connector. If the caller stops waiting, the guest still runs to its end.
pub async fn run_call<C: GuestCall>(
    runtime: &Arc<Runtime>,
    contract: &Arc<Contract>,
    frame: CallFrame,
    call: C,
) -> CallEnd<C::Answer> {
    let (sender, receiver) = oneshot::channel();
    let meter = frame.meter.clone();
    let task = {
        let (runtime, contract) = (Arc::clone(runtime), Arc::clone(contract));
        async move {
            let end = Box::pin(on_guest_thread(&runtime, &contract, frame, call)).await;
            // The caller may have stopped waiting.
            let _ = sender.send(end);
        }
    };
    runtime.guests.spawn(meter, Layer::Runtime.measure(task));
    receiver.await.unwrap_or_else(|_| {
        CallEnd::failed(CallError::Trapped(Problem::new(
            "guest.trap",
            "the call ended without a result",
        )))
    })
}

async fn on_guest_thread<C: GuestCall>(
    runtime: &Runtime,
    contract: &Contract,
    frame: CallFrame,
    call: C,
) -> CallEnd<C::Answer> {
    let mut instance = match create_or_reuse::instance(runtime, contract, &frame).await {
        Ok(instance) => instance,
        Err(end) => return end,
    };
    frame.begin(runtime, &mut instance.store, call.item_indices());
    let answered = frame
        .meter
        .metered(call.invoke(&instance.guest, &mut instance.store))
        .await;
    let traps = answered.is_err();
    let result = match answered {
        Ok(result) => result,
        Err(error) => Err(trapped(&error, instance.store.data())),
    };
    let end = end_call(&mut instance.store, result, instance.calls > 0);
    instance.calls += 1;
    let keeps = frame.reusable && !traps && !instance.store.data().memory.is_scarce();
    if keeps && instance.calls < runtime.settings.calls_per_instance {
        instance.idle_since = runtime.clock.mono();
        runtime.pool.put_back(instance);
    }
    end
}
