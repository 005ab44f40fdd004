//! The examples of the standard bodies, and of each connector in this repository, are valid,
//! because authors copy them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::Validator;
use serde_json::Value;

use super::{Harness, built, guest};
use crate::runtime::registry::connector_description::{BodyFormat, Description};

fn standard() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../wit/schemas/standard-0.1")
}

fn json(path: PathBuf) -> Value {
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The schemas of the standard bodies, by object type.
fn schemas() -> BTreeMap<String, Validator> {
    let files = std::fs::read_dir(standard())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                jsonschema::draft202012::new(&json(path)).unwrap(),
            )
        })
        .collect()
}

#[track_caller]
fn fits(validator: &Validator, example: &Value, whose: &str) {
    let wrong: Vec<String> = validator
        .iter_errors(example)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(wrong, Vec::<String>::new(), "{whose}");
}

#[test]
fn standard_bodies_have_valid_examples() {
    let schemas = schemas();
    assert_eq!(
        schemas.keys().map(String::as_str).collect::<Vec<_>>(),
        ["brand", "category", "offer", "product"]
    );
    for (object_type, validator) in &schemas {
        fits(
            validator,
            &json(standard().join(format!("examples/{object_type}.json"))),
            object_type,
        );
        assert!(
            !validator.is_valid(&serde_json::json!({"no_such_member": true})),
            "{object_type}: the schema refuses other bodies"
        );
    }
}

#[tokio::test]
async fn connector_examples_are_valid() {
    let harness = Harness::new(|_| ());
    let schemas = schemas();
    let components = [
        guest("sandbox"),
        guest("hostile"),
        built("examples/accept_then_poll.wasm"),
        built("examples/minimal.wasm"),
    ];
    let mut checked = 0;
    for component in components {
        let connector = harness.runtime.prepare(component).await.unwrap();
        let Description {
            name, object_types, ..
        } = &**connector.description();
        for support in object_types {
            let whose = format!("{name}: {}", support.object_type);
            if support.example.is_empty() && matches!(support.body, BodyFormat::Standard(_)) {
                continue;
            }
            let example: Value = serde_json::from_str(&support.example)
                .unwrap_or_else(|error| panic!("{whose}: {error}"));
            match &support.body {
                BodyFormat::Standard(standard) => {
                    assert_eq!(standard, "standard@0.1", "{whose}");
                    fits(&schemas[&support.object_type], &example, &whose);
                }
                BodyFormat::JsonSchema(schema) => fits(
                    &jsonschema::draft202012::new(schema).unwrap(),
                    &example,
                    &whose,
                ),
            }
            checked += 1;
        }
    }
    assert_eq!(
        checked, 6,
        "the examples of the sandbox and the hostile connector"
    );
}
