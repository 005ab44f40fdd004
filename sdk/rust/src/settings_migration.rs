//! The optional interface `settings-migration`, which converts settings of an older version.

use crate::Problem;

/// Converts the settings of existing connections when a new version of the connector is activated.
pub trait SettingsMigration {
    /// `settings` is a JSON object that was valid for `from_version`. The result must be valid
    /// against the schema of this version. Runs without network.
    ///
    /// # Errors
    /// A problem that tells a person what to enter.
    fn migrate_settings(from_version: &str, settings: &str) -> Result<String, Problem>;
}

/// Generated code for `export_connector!`.
pub mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from WIT, which has the documentation"
    )]
    wit_bindgen::generate!({
        inline: "package egression:sdk-settings-migration;
            world settings-migration-export {
                export egression:connector/settings-migration@0.1.0;
            }",
        path: "../../wit/v0.1",
        pub_export_macro: true,
        export_macro_name: "export_settings_migration_functions",
        default_bindings_module: "egression_sdk::__private::settings_migration_bindings",
        with: { "egression:connector/model@0.1.0": crate::bindings::egression::connector::model },
    });
}

#[cfg(target_arch = "wasm32")]
impl<C: SettingsMigration> bindings::exports::egression::connector::settings_migration::Guest
    for crate::export::Exported<C>
{
    fn migrate_settings(from_version: String, settings: String) -> Result<String, Problem> {
        C::migrate_settings(&from_version, &settings)
    }
}
