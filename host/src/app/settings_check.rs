//! Checks a connection's settings against the schema of its installed connector, on the threads for
//! schemas.

use std::sync::Arc;

use moka::sync::Cache;
use serde_json::Value;

use crate::documents::configuration::SettingsCheck;
use crate::documents::validate::Issue;
use crate::runtime::{Description, Registry};
use crate::schemas::{NotJudged, Schema, SchemaBounds, SchemaFault, Verdict};

/// The most issues reported for one connection.
const MAX_ISSUES: usize = 20;
/// Compiled schemas that are kept.
const MAX_KEPT: u64 = 100;

/// A connector's name and version, which name its bytes.
type Key = (String, String);
type Read = Arc<Result<Schema, SchemaFault>>;

pub(super) fn settings_check(registry: Arc<Registry>) -> SettingsCheck {
    let schemas: Cache<Key, Read> = Cache::new(MAX_KEPT);
    Arc::new(move |channel, connection| {
        let description = registry.description(&channel.connector, channel.version.as_deref());
        let settings = connection.settings.clone();
        let (registry, schemas) = (Arc::clone(&registry), schemas.clone());
        Box::pin(async move {
            let Some(description) = description else {
                return Vec::new();
            };
            let bounds = registry.schema_bounds().clone();
            let workers = registry.schema_workers();
            let judging = workers.run(move || {
                let schema = read(&schemas, &description, &bounds);
                issues(&schema, &settings)
            });
            judging
                .await
                .unwrap_or_else(|error| vec![not_judged(error)])
        })
    })
}

/// Two threads may read the same schema once each. If the first one waited for the other, a schema
/// that takes too long would stop both.
fn read(schemas: &Cache<Key, Read>, description: &Description, bounds: &SchemaBounds) -> Read {
    let key = (description.name.clone(), description.version.clone());
    schemas.get(&key).unwrap_or_else(|| {
        let read = Arc::new(Schema::read(&description.settings_schema, bounds));
        schemas.insert(key, Arc::clone(&read));
        read
    })
}

/// A connection without settings is checked as an empty table.
fn issues(schema: &Result<Schema, SchemaFault>, settings: &Value) -> Vec<Issue> {
    let schema = match schema {
        Ok(schema) => schema,
        Err(fault) => {
            let detail = format!("the connector's settings schema is refused, {fault}");
            return vec![Issue::new("", "settings.schema_refused", detail)];
        }
    };
    let empty = Value::Object(serde_json::Map::new());
    let settings = if settings.is_null() { &empty } else { settings };
    match schema.judge(settings, MAX_ISSUES) {
        Verdict::Valid => Vec::new(),
        Verdict::Invalid(violations) => violations
            .into_iter()
            .map(|violation| Issue::new(violation.pointer, "settings.schema", violation.text))
            .collect(),
        Verdict::TooCostly { max_steps } => {
            let detail = format!(
                "the settings take more than {max_steps} steps to check (see \
                 `runtime.schemas.max_steps`)"
            );
            vec![Issue::new("", "settings.too_costly", detail)]
        }
    }
}

fn not_judged(error: NotJudged) -> Issue {
    Issue::new(
        "",
        "settings.not_judged",
        format!("the settings were {error}"),
    )
}
