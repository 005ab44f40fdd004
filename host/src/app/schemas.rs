//! The settings schemas of the installed connectors, for the configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::Value;

use crate::documents::invalid_settings::SettingsSchemas;
use crate::documents::validate::Issue;
use crate::runtime::Registry;

/// What is told of one connection's settings; a longer list helps nobody.
const MAX_ISSUES: usize = 20;

/// Asks the registry, and compiles each schema once.
pub(super) struct RegistrySchemas {
    registry: Arc<Registry>,
    /// By the schema itself: versions share it more often than not.
    compiled: Mutex<HashMap<String, Option<Arc<Validator>>>>,
}

impl RegistrySchemas {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            compiled: Mutex::default(),
        }
    }

    fn validator(&self, schema: &Value) -> Option<Arc<Validator>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        // Checked at installation; one that does not compile here judges nothing.
        compiled
            .entry(schema.to_string())
            .or_insert_with(|| jsonschema::validator_for(schema).ok().map(Arc::new))
            .clone()
    }
}

impl SettingsSchemas for RegistrySchemas {
    fn misfits(&self, connector: &str, pin: Option<&str>, settings: &Value) -> Vec<Issue> {
        let validator = self
            .registry
            .description(connector, pin)
            .and_then(|found| self.validator(&found.settings_schema));
        let Some(validator) = validator else {
            return Vec::new();
        };
        // A connection without settings has none of its own: an empty table is judged.
        let empty = Value::Object(serde_json::Map::new());
        let settings = if settings.is_null() { &empty } else { settings };
        let errors = validator.iter_errors(settings).take(MAX_ISSUES);
        errors
            .map(|error| {
                Issue::new(
                    error.instance_path().to_string(),
                    "settings.schema",
                    error.to_string(),
                )
            })
            .collect()
    }
}
