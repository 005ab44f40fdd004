//! Conditions on jobs in SQL, each named once. An index with a condition serves only the statements
//! that state the same condition, so these are texts with numbers and not bound values.
//!
//! Each macro takes the prefix of the columns: `""`, or an alias such as `"j."`.

use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;

const _: () = {
    assert!(JobState::Waiting as i64 == 0);
    assert!(JobState::InFlight as i64 == 1);
    // Every state up to this one is unfinished.
    assert!(JobState::Accepted as i64 == 2);
    assert!(JobState::Rejected as i64 == 4);
    assert!(JobState::Failed as i64 == 5);
    assert!(JobState::Unknown as i64 == 6);
    assert!(WaitingKind::Schedule as i64 == 1);
    assert!(WaitingKind::Dependency as i64 == 5);
    assert!(WaitingKind::Merged as i64 == 14);
};

macro_rules! waits {
    ($prefix:literal) => {
        concat!($prefix, "state = 0")
    };
}

/// Waits without a reason of its own.
macro_rules! is_ready {
    ($prefix:literal) => {
        concat!($prefix, "state = 0 AND ", $prefix, "waiting IS NULL")
    };
}

macro_rules! waits_for_object {
    ($prefix:literal) => {
        concat!($prefix, "state = 0 AND ", $prefix, "waiting = 5")
    };
}

/// Waits or is in flight.
macro_rules! waits_or_flies {
    ($prefix:literal) => {
        concat!($prefix, "state < 2")
    };
}

macro_rules! is_unfinished {
    ($prefix:literal) => {
        concat!($prefix, "state <= 2")
    };
}

/// The expression of the index `job_object`: true of ended jobs.
macro_rules! has_ended {
    ($prefix:literal) => {
        concat!("(", $prefix, "state > 2)")
    };
}

/// Rejected, failed or unknown.
macro_rules! went_wrong {
    ($prefix:literal) => {
        concat!($prefix, "state IN (4, 5, 6)")
    };
}

/// Neither scheduled nor merged into another job.
macro_rules! is_active {
    ($prefix:literal) => {
        concat!(
            "(",
            $prefix,
            "waiting IS NULL OR ",
            $prefix,
            "waiting NOT IN (1, 14))"
        )
    };
}

/// Holds its key, as the indexes `job_key` and `job_key_drawn` have it: unfinished, and not waiting
/// for its time, for an object, or for the job that it merged into.
macro_rules! holds_key {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "state <= 2 AND (",
            $prefix,
            "waiting IS NULL OR ",
            $prefix,
            "waiting NOT IN (1, 5, 14))"
        )
    };
}

pub(in crate::store) use {
    has_ended, holds_key, is_active, is_ready, is_unfinished, waits, waits_for_object,
    waits_or_flies, went_wrong,
};
