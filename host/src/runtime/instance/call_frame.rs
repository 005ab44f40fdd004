//! The bounds of one call, set on the instance's store when the call begins and removed when it
//! ends.

use std::sync::Arc;

use egression_core::domain::outcome::CallError;
use egression_core::time::Mono;
use wasmtime::Store;

use super::cpu_budget::Meter;
use super::guest_state::GuestState;
use super::instance_pool::Tenant;
use crate::runtime::Runtime;
use crate::runtime::connector_call::CallEnd;
use crate::runtime::guest_abilities::{Abilities, NoAbilities};

/// Whose call it is, what the guest may do, and until when.
pub struct CallFrame {
    pub tenant: Tenant,
    pub abilities: Arc<dyn Abilities>,
    pub deadline: Mono,
    pub reusable: bool,
    /// Counts the time that the guest computes.
    pub meter: Meter,
}

impl CallFrame {
    pub fn without_connection(runtime: &Runtime, digest: &Arc<str>) -> Self {
        Self {
            tenant: Tenant {
                digest: Arc::clone(digest),
                subscription: Arc::from(""),
                channel: Arc::from(""),
            },
            abilities: Arc::new(NoAbilities),
            deadline: runtime.clock.mono().plus_ms(runtime.settings.describe_ms),
            reusable: false,
            meter: Meter::new(runtime.clock.clone()),
        }
    }

    pub fn begin(&self, runtime: &Runtime, store: &mut Store<GuestState>, item_indices: Vec<u32>) {
        store.data_mut().begin(
            Arc::clone(&self.abilities),
            item_indices,
            self.meter.clone(),
            self.deadline,
            self.deadline.plus_ms(runtime.settings.grace_ms),
            runtime.settings.cpu_budget_ms,
        );
        store.set_epoch_deadline(1);
    }
}

pub fn end_call<T>(
    store: &mut Store<GuestState>,
    result: Result<T, CallError>,
    reused_instance: bool,
) -> CallEnd<T> {
    let state = store.data_mut();
    let cpu_us = state.meter.used_us();
    let logs = state.log.take();
    CallEnd {
        result,
        reported: state.finish(),
        logs,
        cpu_us,
        reused_instance,
    }
}
