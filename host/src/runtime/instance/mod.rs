//! One call in one guest instance: creating or reusing the instance, its bounds, and its end.

pub mod call_frame;
pub mod contract_calls;
pub mod cpu_budget;
mod create_or_reuse;
pub mod guest_log;
pub mod guest_memory;
pub mod guest_state;
pub mod guest_threads;
pub mod instance_pool;
mod reported_outcomes;
pub mod run_call;
mod trap;
pub mod wasi;
pub mod wasm_engine;
