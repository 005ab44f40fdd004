//! Order and time: belts, partition keys, references, schedules, priorities and fairness.

mod belts;
mod fairness;
mod partition_keys;
mod references;
mod scheduling;
