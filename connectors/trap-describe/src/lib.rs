//! A connector that traps in `describe`, for a test that the host refuses to install it.

use egression_sdk::{Call, CallError, Connector, Description, Item, ItemOutcome, export_connector};

pub struct TrapDescribe;

impl Connector for TrapDescribe {
    /// Traps, because the guest profile aborts on a panic.
    #[expect(clippy::panic, reason = "the behavior is to trap")]
    fn describe() -> Description {
        panic!("this connector traps in describe")
    }

    fn deliver(_call: &Call<'_>, _items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        Ok(Vec::new())
    }
}

export_connector!(TrapDescribe);
