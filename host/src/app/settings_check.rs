//! Checks a connection's settings against the schema of its installed connector.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::Value;

use crate::documents::configuration::SettingsCheck;
use crate::documents::validate::Issue;
use crate::runtime::Registry;

/// The most issues reported for one connection.
const MAX_ISSUES: usize = 20;

/// Compiles each schema once. Versions of a connector often share a schema.
pub(super) fn settings_check(registry: Arc<Registry>) -> SettingsCheck {
    let validators: Mutex<HashMap<String, Option<Arc<Validator>>>> = Mutex::default();
    Arc::new(move |channel, connection| {
        let description = registry.description(&channel.connector, channel.version.as_deref());
        let validator = description.and_then(|description| {
            let schema = &description.settings_schema;
            // Installation refuses a schema that does not compile.
            validators
                .lock()
                .entry(schema.to_string())
                .or_insert_with(|| jsonschema::validator_for(schema).ok().map(Arc::new))
                .clone()
        });
        let Some(validator) = validator else {
            return Vec::new();
        };
        issues(&validator, &connection.settings)
    })
}

/// A connection without settings is checked as an empty table.
fn issues(validator: &Validator, settings: &Value) -> Vec<Issue> {
    let empty = Value::Object(serde_json::Map::new());
    let settings = if settings.is_null() { &empty } else { settings };
    validator
        .iter_errors(settings)
        .take(MAX_ISSUES)
        .map(|error| {
            let pointer = error.instance_path().to_string();
            Issue::new(pointer, "settings.schema", error.to_string())
        })
        .collect()
}
