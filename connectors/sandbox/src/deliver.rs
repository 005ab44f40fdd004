//! The entry point of a call. It has items of one object type and one action, at most as many as
//! `describe` allows.

use egression_sdk::{Call, CallError, Item, ItemOutcome, Level, Outcome};

use crate::session::Access;
use crate::settings::{Mode, Settings};
use crate::{batch, single};

/// Delivers the items in the mode of the connection's settings.
pub(crate) fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
    let settings: Settings = call.settings()?;
    let access = Access::of(call, &settings)?;
    let Some(first) = items.first() else {
        return Ok(Vec::new());
    };
    if call.connection.dry_run {
        // Everything except the write. The line explains the outcome to the reader.
        call.log(Level::Info, "dry run: the request was not sent");
        return Ok(ItemOutcome::for_all(items, &Outcome::NotAttempted));
    }
    match settings.mode {
        Mode::Batch => {
            let url = settings.batch_url(&first.object.object_type);
            batch::deliver(call, &access, url, items)
        }
        Mode::Single => single::deliver(call, &access, &settings, items),
    }
}
