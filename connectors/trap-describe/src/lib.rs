//! A connector that traps in `describe`, so that a host can show how it refuses one at
//! installation.

use egression_sdk::{Call, CallError, Connector, Description, Item, ItemOutcome, export_connector};

/// The connector.
pub struct TrapDescribe;

impl Connector for TrapDescribe {
    /// Traps: the guest profile aborts on a panic.
    #[expect(clippy::panic, reason = "the trap is what it is for")]
    fn describe() -> Description {
        panic!("this connector traps in describe")
    }

    fn deliver(_call: &Call<'_>, _items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        Ok(Vec::new())
    }
}

export_connector!(TrapDescribe);
