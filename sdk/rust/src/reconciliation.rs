//! The optional interface `reconciliation`, which finds out whether items whose answer was lost
//! arrived.

use crate::{Call, CallError, Item, ItemOutcome};

/// Finds out whether items whose answer was lost arrived.
pub trait Reconciliation {
    /// Returns `delivered` if the destination has the object as sent, `not-attempted` if it does
    /// not, and `unknown` if the connector cannot tell.
    ///
    /// # Errors
    /// As for `deliver`. The items stay unchanged.
    fn reconcile(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError>;
}

/// Generated code for `export_connector!`.
pub mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from WIT, which has the documentation"
    )]
    wit_bindgen::generate!({
        inline: "package egression:sdk-reconciliation;
            world reconciliation-export { export egression:connector/reconciliation@0.1.0; }",
        path: "../../wit/v0.1",
        pub_export_macro: true,
        export_macro_name: "export_reconciliation_functions",
        default_bindings_module: "egression_sdk::__private::reconciliation_bindings",
        with: { "egression:connector/model@0.1.0": crate::bindings::egression::connector::model },
    });
}

#[cfg(target_arch = "wasm32")]
impl<C: Reconciliation> bindings::exports::egression::connector::reconciliation::Guest
    for crate::export::Exported<C>
{
    fn reconcile(
        connection: crate::Connection,
        session: Option<crate::Session>,
        items: Vec<Item>,
    ) -> Result<Vec<ItemOutcome>, CallError> {
        let channel = crate::host_channel::HostChannel;
        C::reconcile(&Call::new(&channel, &connection, session.as_ref()), &items)
    }
}
