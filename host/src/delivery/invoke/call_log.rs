//! What the calls around a delivery left behind: the login before it, and the check after it. It
//! belongs to the history of the items for which they were made, else nobody would see why nothing
//! was sent.

use egression_core::time::Wall;

use crate::delivery::settle::events;
use crate::gate::CallGate;
use crate::gate::exchange::Exchange;
use crate::runtime::call::LogLine;
use crate::store::rows::NewEvent;

/// Exchanges and lines, in their order.
#[derive(Debug, Default)]
pub struct CallLog {
    exchanges: Vec<Exchange>,
    logs: Vec<LogLine>,
}

impl CallLog {
    /// A call without items ended.
    pub fn note(&mut self, gate: &CallGate, logs: Vec<LogLine>) {
        gate.close();
        self.exchanges.extend(gate.exchanges());
        self.logs.extend(logs);
    }

    /// Its lines in the history of one of so many items, which share them; the newest exchanges
    /// count.
    pub fn events(&self, items: u32, attempt: u32, now: Wall) -> Vec<NewEvent> {
        // None of them speaks of an item: there was none.
        let log = events::kept_lines(&self.logs, u32::MAX, items);
        events::responded(events::newest(&self.exchanges), &log, attempt, now)
    }
}
