//! The order of jobs: heads of keys, lanes, and places in a queue.

pub mod heads;
pub mod lanes;
pub mod queue_position;
