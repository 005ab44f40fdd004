//! Explains a trap to a person.

use egression_core::domain::outcome::CallError;
use egression_core::domain::problem::Problem;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use super::cpu_budget::HostTrap;
use super::guest_log::cut;
use super::guest_memory::MemoryRefusal;
use super::guest_state::GuestState;

/// Bytes kept of the engine's reason for a trap.
const MAX_REASON_BYTES: usize = 1_024;

pub fn trapped(error: &wasmtime::Error, state: &GuestState) -> CallError {
    let (code, message) = if let Some(host) = error.downcast_ref::<HostTrap>() {
        let code = match host {
            HostTrap::CpuBudget { .. } => "guest.cpu_budget",
            HostTrap::Ability => "host.ability",
            HostTrap::Deadline => "guest.deadline",
        };
        (code, host.to_string())
    } else if let Some(refusal) = state.memory.refused() {
        let code = match refusal {
            MemoryRefusal::Own => "guest.memory",
            MemoryRefusal::Total { .. } => "guest.memory_total",
        };
        (code, format!("{refusal}: {}", reason(error)))
    } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        let message = format!("the connector exited with status {status}");
        ("guest.trap", message)
    } else {
        let mut message = format!("the connector trapped: {}", reason(error));
        let last_words = state.log.last_words();
        if !last_words.is_empty() {
            message = format!("{message}; its last lines: {last_words}");
        }
        ("guest.trap", message)
    };
    CallError::Trapped(Problem::new(code, message))
}

fn reason(error: &wasmtime::Error) -> String {
    let reason = error
        .downcast_ref::<Trap>()
        .map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    cut(reason, MAX_REASON_BYTES)
}
