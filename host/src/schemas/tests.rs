//! Hostile schemas and values, and harmless ones that look similar.

use serde_json::{Value, json};

use super::*;

fn read(schema: &Value) -> Result<Schema, SchemaFault> {
    Schema::read(schema, &SchemaBounds::default())
}

/// Expects a refusal at this place whose text has this word.
#[track_caller]
fn refused(schema: &Value, pointer: &str, word: &str) {
    let fault = read(schema).expect_err("the schema is accepted");
    assert!(
        fault.pointer == pointer && fault.detail.contains(word),
        "{fault}"
    );
}

/// Definitions of which each uses the one before as often as `double` does.
fn levels(count: usize, double: impl Fn(Value) -> Value) -> Value {
    let mut definitions = serde_json::Map::new();
    definitions.insert("d0".to_owned(), json!({ "type": "object" }));
    for level in 1..=count {
        let before = json!({ "$ref": format!("#/$defs/d{}", level - 1) });
        definitions.insert(format!("d{level}"), double(before));
    }
    json!({ "$defs": definitions, "$ref": format!("#/$defs/d{count}") })
}

fn nested(levels: usize, inner: Value, outer: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(inner, |inner, _| outer(inner))
}

#[test]
fn schema_that_doubles_its_evaluations_is_refused() {
    let bomb = levels(39, |before| json!({ "allOf": [before, before] }));
    refused(&bomb, "#/$defs/d8", "max_evaluations");
    let branches = levels(39, |before| json!({ "anyOf": [before, before] }));
    refused(&branches, "#/$defs/d8", "max_evaluations");
    let members = levels(39, |before| {
        let member = json!({ "properties": { "a": before } });
        json!({ "allOf": [member, member] })
    });
    refused(
        &members,
        "#/$defs/d10/allOf/0/properties/a",
        "max_evaluations",
    );
    let wide = json!({ "anyOf": vec![json!({ "type": "string" }); 1000] });
    refused(&wide, "#", "max_evaluations");
    let many = json!({ "prefixItems": vec![json!({ "type": "string" }); 2000] });
    refused(&many, "#/prefixItems/1999", "max_subschemas");
}

#[test]
fn schema_that_never_ends_is_refused() {
    refused(&json!({ "$ref": "#" }), "#", "never ends");
    let circle = json!({
        "$ref": "#/$defs/a",
        "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "not": { "$ref": "#" } } }
    });
    refused(&circle, "#", "never ends");
    let chain = levels(70, |before| json!({ "allOf": [before] }));
    refused(&chain, "#/$defs/d32", "max_depth");
    let deep = nested(40, json!({}), |inner| json!({ "items": { "not": inner } }));
    refused(&deep, "#", "max_depth");
}

#[test]
fn keyword_whose_cost_cannot_be_counted_is_refused() {
    for keyword in [
        "$dynamicRef",
        "$anchor",
        "unevaluatedProperties",
        "dependencies",
    ] {
        let schema = json!({ "properties": { "a": { keyword: "x" } } });
        refused(&schema, "#/properties/a", keyword);
        // A member of this name is no keyword.
        read(&json!({ "properties": { keyword: { "type": "string" } } })).unwrap();
    }
    refused(&json!({ "$ref": "https://x.example/y" }), "#", "no place");
    refused(&json!({ "$ref": "#/$defs/none" }), "#", "no place");
    let draft = json!({ "$schema": "http://json-schema.org/draft-07/schema#" });
    refused(&draft, "#", "2020-12");
    let inner = json!({ "items": { "$id": "https://x.example/y" } });
    refused(&inner, "#/items", "$id");
}

#[test]
fn pattern_must_be_linear_and_small() {
    refused(&json!({ "pattern": "(?=a)b" }), "#/pattern", "look-around");
    refused(&json!({ "pattern": "(a)\\1" }), "#/pattern", "linear time");
    let long = "a".repeat(1001);
    refused(
        &json!({ "pattern": long }),
        "#/pattern",
        "max_pattern_bytes",
    );
    let huge = json!({ "patternProperties": { "^(x{100}){300}$": true } });
    refused(&huge, "#/patternProperties", "max_pattern_states");
    let monster = json!({ "pattern": "((a{1000}){1000}){1000}" });
    refused(&monster, "#/pattern", "too large");
    read(&json!({ "pattern": "^[A-Z]{2,3}-\\d+$" })).unwrap();
}

#[test]
fn invalid_schema_is_refused_with_its_place() {
    refused(&json!({ "type": "objekt" }), "#/type", "objekt");
    refused(&json!({ "items": 5 }), "#/items", "object or a boolean");
    refused(&json!({ "title": "x".repeat(300_000) }), "#", "max_bytes");
}

#[test]
fn harmless_recursion_is_accepted() {
    let list = read(&json!({ "properties": { "next": { "$ref": "#" } } })).unwrap();
    let value = nested(100, json!({}), |inner| json!({ "next": inner }));
    assert_eq!(list.judge(&value, 1), Verdict::Valid);

    let category = read(&json!({
        "$id": "https://shop.example/category",
        "$ref": "https://shop.example/category#/$defs/category",
        "$defs": { "category": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "type": "string" },
                "children": { "type": "array", "items": { "$ref": "#/$defs/category" } }
            },
            "additionalProperties": false
        } }
    }))
    .unwrap();
    let tree = nested(
        6,
        json!({ "name": "leaf" }),
        |inner| json!({ "name": "node", "children": [inner, inner, inner] }),
    );
    assert_eq!(category.judge(&tree, 1), Verdict::Valid);
    let wrong = json!({ "name": "a", "children": [{ "name": "b" }, { "name": 7 }] });
    let Verdict::Invalid(violations) = category.judge(&wrong, 5) else {
        panic!("accepted")
    };
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].pointer, "/children/1/name");

    let any = read(&json!({
        "$defs": { "value": { "anyOf": [
            { "type": ["string", "number", "boolean", "null"] },
            { "type": "array", "items": { "$ref": "#/$defs/value" } },
            { "type": "object", "additionalProperties": { "$ref": "#/$defs/value" } }
        ] } },
        "$ref": "#/$defs/value"
    }))
    .unwrap();
    let deep = nested(60, json!(1), |inner| json!({ "a": [inner] }));
    assert_eq!(any.judge(&deep, 1), Verdict::Valid);
}

#[test]
fn recursion_that_multiplies_is_stopped_by_the_meter() {
    let branch = json!({ "properties": { "next": { "$ref": "#" } } });
    let schema = read(&json!({ "allOf": [branch, branch] })).unwrap();
    let value = |levels| nested(levels, json!({}), |inner| json!({ "next": inner }));
    assert_eq!(schema.judge(&value(10), 1), Verdict::Valid);
    let max_steps = SchemaBounds::default().max_steps;
    assert_eq!(
        schema.judge(&value(100), 1),
        Verdict::TooCostly { max_steps }
    );
}

#[test]
fn large_value_is_stopped_by_the_meter() {
    let too_costly = Verdict::TooCostly {
        max_steps: SchemaBounds::default().max_steps,
    };
    // About 3,000 states for each of a million bytes.
    let pattern = read(&json!({ "pattern": "(a|b)*a(a|b){3000}" })).unwrap();
    let text = json!("ab".repeat(500_000));
    assert_eq!(pattern.judge(&text, 1), too_costly);
    let options: Vec<Value> = (0..20_000).map(|number| json!(number)).collect();
    let choice = read(&json!({ "items": { "enum": options } })).unwrap();
    assert_eq!(choice.judge(&json!(vec![-1; 1000]), 1), too_costly);
    let unique = read(&json!({ "uniqueItems": true })).unwrap();
    assert_eq!(unique.judge(&json!(vec![1; 300_000]), 1), too_costly);
}

#[test]
fn explanation_is_bounded() {
    let item = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
    let schema = read(&json!({ "items": item, "maxItems": 5 })).unwrap();
    let Verdict::Invalid(some) = schema.judge(&json!(vec![1; 100]), 7) else {
        panic!("accepted")
    };
    assert_eq!(some.len(), 7);
    // A violation for each of 200,000 branches would fill the memory.
    let Verdict::Invalid(many) = schema.judge(&json!(vec![1; 100_000]), 7) else {
        panic!("accepted")
    };
    assert!(
        many.len() == 1 && many[0].text.contains("too large"),
        "{many:?}"
    );
    let plain = read(&json!({ "type": "string" })).unwrap();
    let Verdict::Invalid(long) = plain.judge(&json!(vec![1; 10_000]), 7) else {
        panic!("accepted")
    };
    assert!(long[0].text.len() < 600);
}

#[tokio::test]
async fn deepest_evaluation_fits_the_stack() {
    let bounds = SchemaBounds::default();
    let workers = Workers::start(1, 600_000, crate::clock::Clock::system()).unwrap();
    let judged = workers.run(move || {
        // The longest chain that is allowed, for each level of the deepest value.
        let chain = nested(
            27,
            json!({ "$ref": "#/$defs/member" }),
            |inner| json!({ "anyOf": [inner] }),
        );
        let schema = json!({
            "$defs": { "member": { "properties": { "a": { "$ref": "#" } }, "required": ["b"] } },
            "allOf": [chain]
        });
        let schema = Schema::read(&schema, &bounds).unwrap();
        let value = nested(126, json!({}), |inner| json!({ "a": inner }));
        schema.judge(&value, 1)
    });
    assert!(matches!(judged.await, Ok(Verdict::Invalid(_))));
}
