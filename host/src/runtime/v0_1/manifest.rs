//! Converts a guest's description to the host's types. It only refuses a description that it cannot
//! read; `check_description` finds all other faults.

use egression_core::time::Wall;
use serde_json::Value;

use super::bindings::egression::connector::manifest as wit;
use super::incoming::action;
use super::{CONTRACT, FEATURES};
use crate::runtime::registry::connector_description::{
    AuthScheme, BodyFormat, Bucket, BucketKind, Description, HostNeed, ReferencePointer,
    TypeSupport,
};

/// The description, or its faults, one sentence each.
pub(super) fn description(
    given: wit::Description,
    optional_exports: Vec<String>,
    max_bytes: usize,
) -> Result<Description, Vec<String>> {
    let bytes = bytes(&given);
    if bytes > max_bytes {
        return Err(vec![format!(
            "it has {bytes} bytes; the limit is {max_bytes} (see `runtime.description.max_bytes`)"
        )]);
    }
    let mut faults: Vec<String> = given
        .features
        .iter()
        .filter(|feature| !FEATURES.contains(&feature.as_str()))
        .map(|feature| {
            format!("it needs the contract feature `{feature}`, which this host does not support")
        })
        .collect();
    let settings_schema = json(&given.settings_schema, "the settings schema", &mut faults);
    let object_types = given
        .object_types
        .into_iter()
        .map(|support| type_support(support, &mut faults))
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Description {
        name: given.name,
        version: given.version,
        title: given.title,
        contract: CONTRACT.to_owned(),
        object_types,
        buckets: given.buckets.into_iter().map(bucket).collect(),
        auth_schemes: given
            .auth_schemes
            .into_iter()
            .map(|auth| AuthScheme {
                scheme: auth.scheme,
                secrets: auth.secrets,
            })
            .collect(),
        settings_schema,
        hosts: given.hosts.into_iter().map(host_need).collect(),
        reusable: given.reusable,
        optional_exports,
    })
}

/// The bytes of its long texts, before any of them is parsed.
fn bytes(given: &wit::Description) -> usize {
    let of_type = |support: &wit::TypeSupport| {
        let body = match &support.body {
            wit::BodyFormat::Standard(text) | wit::BodyFormat::JsonSchema(text) => text.len(),
        };
        body + support.example.len() + support.object_type.len()
    };
    let types: usize = given.object_types.iter().map(of_type).sum();
    types + given.settings_schema.len() + given.title.len() + given.version.len()
}

fn json(text: &str, what: &str, faults: &mut Vec<String>) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| {
        faults.push(format!("{what} is not JSON: {error}"));
        Value::Null
    })
}

fn type_support(given: wit::TypeSupport, faults: &mut Vec<String>) -> TypeSupport {
    let body = match given.body {
        wit::BodyFormat::Standard(name) => BodyFormat::Standard(name),
        wit::BodyFormat::JsonSchema(schema) => BodyFormat::JsonSchema(json(
            &schema,
            &format!("the body schema of `{}`", given.object_type),
            faults,
        )),
    };
    TypeSupport {
        object_type: given.object_type,
        actions: given.actions.into_iter().map(action).collect(),
        idempotent_actions: given.idempotent_actions.into_iter().map(action).collect(),
        max_items: given.max_items,
        max_bytes: given.max_bytes,
        max_in_flight: given.max_in_flight,
        max_wait_ms: given.max_wait,
        mixed_actions: given.mixed_actions,
        in_order: given.in_order,
        atomic: given.atomic,
        replaces: matches!(given.write_mode, wit::WriteMode::Replace),
        requests_per_call: given.requests_per_call,
        body,
        example: given.example,
        references: given
            .references
            .into_iter()
            .map(|reference| ReferencePointer {
                pointer: reference.pointer,
                object_type: reference.object_type,
            })
            .collect(),
    }
}

fn bucket(given: wit::Bucket) -> Bucket {
    let kind = match given.kind {
        wit::BucketKind::TokenBucket(bucket) => BucketKind::TokenBucket {
            rate: bucket.rate,
            per_ms: bucket.per,
            burst: bucket.burst,
        },
        wit::BucketKind::Window(window) => {
            // An instant beyond the range of the clock is no anchor.
            let anchor = window
                .anchor
                .and_then(|at| i64::try_from(at).ok())
                .map(Wall);
            BucketKind::Window {
                max: window.max,
                window_ms: window.window,
                anchor,
            }
        }
        wit::BucketKind::Concurrency(max) => BucketKind::Concurrency { max },
        wit::BucketKind::MinInterval(interval_ms) => BucketKind::MinInterval { interval_ms },
    };
    Bucket {
        name: given.name,
        scope: given.scope,
        kind,
        counts: given.counts,
        operations: given.operations,
    }
}

fn host_need(given: wit::HostNeed) -> HostNeed {
    match given {
        wit::HostNeed::Name(name) => HostNeed::Name(name),
        wit::HostNeed::Setting(setting) => HostNeed::Setting(setting),
    }
}
