//! The published description of the API.

use super::harness::*;
use crate::api::openapi;

#[tokio::test]
async fn docs_need_no_network() {
    let host = Host::start().await;
    let served = host.get("/v1/openapi.json").await;
    assert_eq!(served.json(), serde_json::to_value(openapi()).unwrap());
    let page = host.get("/docs/").await;
    page.expect(200);
    for text in [
        page.text,
        host.get("/docs/swagger-initializer.js").await.text,
    ] {
        assert!(!text.contains("https://"), "{text}");
    }
}

#[test]
fn openapi_describes_every_operation() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.push(format!("{} {path}", method.to_uppercase()));
            assert!(
                operation["summary"].is_string() && operation["operationId"].is_string(),
                "{method} {path}"
            );
            if path.starts_with("/v1/") {
                for status in ["401", "403", "default"] {
                    assert!(
                        operation["responses"][status].is_object(),
                        "{method} {path} {status}"
                    );
                }
            }
            let in_path = path.matches('{').count();
            let declared = operation["parameters"]
                .as_array()
                .map_or(0, |all| all.iter().filter(|p| p["in"] == "path").count());
            assert_eq!(declared, in_path, "{method} {path}");
        }
    }
    described.sort();
    insta::assert_snapshot!(described.join("\n"));
}

#[test]
fn openapi_references_resolve() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(target) if name == "$ref" => found.push(target),
                other => references(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = serde_json::to_value(openapi()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        assert!(
            document.pointer(target.trim_start_matches('#')).is_some(),
            "{target}"
        );
    }
}
