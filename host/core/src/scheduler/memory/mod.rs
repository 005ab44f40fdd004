//! The bounded part of a connection's queue that is in memory: lanes of loaded heads, and the jobs
//! by key and by object.

mod lane;
mod read_queue;
mod ready;
mod slot;
mod window;

pub use slot::SlotState;
pub use window::Window;
