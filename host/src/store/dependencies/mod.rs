//! Jobs that wait for objects of other jobs.

pub mod cycles;
pub mod edges;
pub mod parents;
pub mod release;
