//! What happens to a job from its claim to its removal.

pub mod blocked_keys;
pub mod cancel;
pub mod claim;
pub mod counters;
pub mod due;
pub mod ending;
pub mod error_groups;
pub mod events;
pub mod id_map;
pub mod intents;
pub mod open_executions;
pub mod pause;
pub mod retention;
pub mod settlement;
pub mod transition;
pub mod waits;
