//! What a guest's call left behind: its exchanges and its log lines.
//!
//! The login before a delivery and the check after it belong to the history of the items for which
//! they were made; otherwise nobody could see why nothing was sent.

use crate::gate::CallGate;
use crate::gate::exchange::Exchange;
use crate::runtime::LogLine;

/// Exchanges and lines, each in their order.
#[derive(Debug, Default)]
pub struct CallLog {
    pub exchanges: Vec<Exchange>,
    pub lines: Vec<LogLine>,
}

impl CallLog {
    /// Takes over what an ended call left behind.
    pub fn record(&mut self, gate: &CallGate, lines: Vec<LogLine>) {
        gate.close();
        self.exchanges.extend(gate.exchanges());
        self.lines.extend(lines);
    }
}
