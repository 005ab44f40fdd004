//! The optional interface `settlement`, which asks the destination about `accepted` items.

use crate::{Call, CallError};

pub use bindings::exports::egression::connector::settlement::{Pending, Verdict};

/// Asks the destination for the decision about items with the outcome
/// [`Outcome::Accepted`](crate::Outcome::Accepted).
pub trait Settlement {
    /// Returns a verdict for each token whose state changed. A token without a verdict is polled
    /// again.
    ///
    /// # Errors
    /// As for `deliver`. Then nothing is settled.
    fn poll(call: &Call<'_>, tokens: &[Pending]) -> Result<Vec<Verdict>, CallError>;
}

/// Generated code for `export_connector!`.
pub mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from WIT, which has the documentation"
    )]
    wit_bindgen::generate!({
        inline: "package egression:sdk-settlement;
            world settlement-export { export egression:connector/settlement@0.1.0; }",
        path: "../../wit/v0.1",
        pub_export_macro: true,
        export_macro_name: "export_settlement_functions",
        default_bindings_module: "egression_sdk::__private::settlement_bindings",
        additional_derives: [PartialEq],
        with: { "egression:connector/model@0.1.0": crate::bindings::egression::connector::model },
    });
}

#[cfg(target_arch = "wasm32")]
impl<C: Settlement> bindings::exports::egression::connector::settlement::Guest
    for crate::export::Exported<C>
{
    fn poll(
        connection: crate::Connection,
        session: Option<crate::Session>,
        tokens: Vec<Pending>,
    ) -> Result<Vec<Verdict>, CallError> {
        let channel = crate::host_channel::HostChannel;
        C::poll(&Call::new(&channel, &connection, session.as_ref()), &tokens)
    }
}
