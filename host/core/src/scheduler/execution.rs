//! An execution as the scheduler sees it: its belts on each connection.

use std::collections::BTreeMap;

use crate::domain::belt::BeltProgress;
use crate::domain::ids::ConnectionId;

/// An execution with unfinished jobs.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) paused: bool,
    /// Belts of each connection, ascending.
    pub(super) belts: BTreeMap<ConnectionId, Vec<BeltProgress>>,
    /// Belts that were requested to be canceled.
    pub(super) aborted: Vec<(ConnectionId, u32)>,
}

/// Stores a belt's counters, unless newer ones are known. An open belt stays open.
pub(super) fn place(belts: &mut Vec<BeltProgress>, belt: BeltProgress) -> &BeltProgress {
    let index = match belts.binary_search_by_key(&belt.belt, |b| b.belt) {
        Ok(index) => {
            let opened = belts[index].opened || belt.opened;
            if (belt.version, belt.finished()) >= (belts[index].version, belts[index].finished()) {
                belts[index] = belt;
            }
            belts[index].opened = opened;
            index
        }
        Err(index) => {
            belts.insert(index, belt);
            index
        }
    };
    &belts[index]
}
