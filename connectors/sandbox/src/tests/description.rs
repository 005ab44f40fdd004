//! The description matches the standard bodies.

use egression_sdk::{BodyFormat, Connector};
use serde_json::Value;

use crate::Sandbox;

/// The JSON pointer of the first element that a reference pointer leads to.
fn first_of(pointer: &str) -> String {
    pointer.replace('*', "0")
}

#[test]
fn object_types_have_examples_with_all_references() {
    let description = Sandbox::describe();
    let types: Vec<&str> = description
        .object_types
        .iter()
        .map(|support| support.object_type.as_str())
        .collect();
    assert_eq!(types, ["category", "brand", "product", "offer"]);
    for support in &description.object_types {
        assert_eq!(
            support.body,
            BodyFormat::Standard("standard@0.1".to_owned())
        );
        assert_eq!(support.idempotent_actions, support.actions);
        let example: Value = serde_json::from_str(&support.example).expect("an example is JSON");
        for reference in &support.references {
            let target = example
                .pointer(&first_of(&reference.pointer))
                .expect("the example has every reference");
            assert_eq!(target["type"], reference.object_type.as_str());
            assert!(target["id"].is_string());
        }
    }
}

#[test]
fn settings_schema_has_all_settings() {
    let schema: Value =
        serde_json::from_str(&Sandbox::describe().settings_schema).expect("a schema is JSON");
    let mut names: Vec<&String> = schema["properties"]
        .as_object()
        .expect("a schema has properties")
        .keys()
        .collect();
    names.sort();
    assert_eq!(names, ["base_url", "login", "mode"]);
}

#[test]
fn examples_are_those_of_the_schemas() {
    let schemas = [
        include_str!("../../../../wit/schemas/standard-0.1/category.json"),
        include_str!("../../../../wit/schemas/standard-0.1/brand.json"),
        include_str!("../../../../wit/schemas/standard-0.1/product.json"),
        include_str!("../../../../wit/schemas/standard-0.1/offer.json"),
    ];
    for (support, schema) in Sandbox::describe().object_types.iter().zip(schemas) {
        let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
        let example: Value = serde_json::from_str(&support.example).expect("an example is JSON");
        assert_eq!(schema["examples"][0], example, "{}", support.object_type);
    }
}
