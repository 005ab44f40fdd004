//! Exports a connector from a component.
//!
//! [`Exported`] adapts a connector to the generated guest traits, and the macros declare the
//! component's functions. In a native build they export nothing, so a connector's crate builds and
//! tests like any other crate.

use std::marker::PhantomData;

/// Implements the generated guest traits for a connector. For the export macros only.
pub struct Exported<C>(PhantomData<C>);

#[cfg(target_arch = "wasm32")]
mod guest {
    use super::Exported;
    use crate::bindings::exports::egression::connector::connector::Guest;
    use crate::host_channel::HostChannel;
    use crate::{
        Call, CallError, Connection, Connector, Description, Findings, Item, ItemOutcome, Session,
    };

    impl<C: Connector> Guest for Exported<C> {
        fn describe() -> Description {
            C::describe()
        }

        fn authenticate(
            connection: Connection,
            previous: Option<Session>,
        ) -> Result<Session, CallError> {
            let call = Call::new(&HostChannel, &connection, previous.as_ref());
            C::authenticate(&call, previous.as_ref())
        }

        fn check(connection: Connection, session: Option<Session>) -> Result<Findings, CallError> {
            C::check(&Call::new(&HostChannel, &connection, session.as_ref()))
        }

        fn deliver(
            connection: Connection,
            session: Option<Session>,
            items: Vec<Item>,
        ) -> Result<Vec<ItemOutcome>, CallError> {
            let call = Call::new(&HostChannel, &connection, session.as_ref());
            C::deliver(&call, &items)
        }
    }
}

/// Exports a type that implements [`Connector`](crate::Connector) as the component's connector. Use
/// it once per crate.
///
/// Optional interfaces follow the type: `export_connector!(Type, settlement, reconciliation)`. The
/// type must then also implement [`Settlement`](crate::Settlement) (`settlement`),
/// [`Reconciliation`](crate::Reconciliation) (`reconciliation`) or
/// [`SettingsMigration`](crate::SettingsMigration) (`settings_migration`).
#[macro_export]
macro_rules! export_connector {
    ($connector:ty $(, $optional:ident)* $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "the component's entry points are exported symbols")]
        const _: () = {
            type Exported = $crate::__private::Exported<$connector>;
            $crate::__private::bindings::export_connector_functions!(
                Exported with_types_in $crate::__private::bindings
            );
            $($crate::__export_optional!($optional, Exported);)*
        };
        // A native build exports nothing, but still checks that the type is a connector.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Description = <$connector as $crate::Connector>::describe;
    };
}

/// Exports one optional interface for [`export_connector!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_optional {
    (settlement, $exported:ident) => {
        $crate::__private::settlement_bindings::export_settlement_functions!(
            $exported with_types_in $crate::__private::settlement_bindings
        );
    };
    (reconciliation, $exported:ident) => {
        $crate::__private::reconciliation_bindings::export_reconciliation_functions!(
            $exported with_types_in $crate::__private::reconciliation_bindings
        );
    };
    (settings_migration, $exported:ident) => {
        $crate::__private::settings_migration_bindings::export_settings_migration_functions!(
            $exported with_types_in $crate::__private::settings_migration_bindings
        );
    };
}
