//! Jobs that wait for objects of other jobs.

pub mod edges;
pub mod parents;
pub mod release;
