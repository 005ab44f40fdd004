//! The optional interface `settlement`: decisions that came as `accepted`.

use crate::{Call, CallError};

pub use bindings::exports::egression::connector::settlement::{Pending, Verdict};

/// Asks the destination for decisions that [`Outcome::Accepted`](crate::Outcome::Accepted) left
/// open.
pub trait Settlement {
    /// One verdict for each token that there is news of. A token without a verdict is asked again.
    ///
    /// # Errors
    /// As for `deliver`; nothing is settled then.
    fn poll(call: &Call<'_>, tokens: &[Pending]) -> Result<Vec<Verdict>, CallError>;
}

/// Generated; used by `export_connector!`.
pub mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from WIT, where the documentation is"
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
