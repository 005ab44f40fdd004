//! The published description of the API.

use super::harness::*;
use crate::api::{ApiSettings, openapi};

fn description() -> utoipa::openapi::OpenApi {
    openapi(&ApiSettings::default())
}

#[tokio::test]
async fn docs_need_no_network() {
    let host = Host::start().await;
    let served = host.get("/v1/openapi.json").await;
    assert_eq!(served.json(), serde_json::to_value(description()).unwrap());
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
    let document = serde_json::to_value(description()).unwrap();
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
    let document = serde_json::to_value(description()).unwrap();
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

#[tokio::test]
async fn openapi_states_the_bounds_and_the_fields_that_hold() {
    let host = Host::with(ApiSettings {
        page_default: 7,
        page_limit: 7,
        ..ApiSettings::default()
    })
    .await;
    let served = host.get("/v1/openapi.json").await.json();
    let parameters = served["paths"]["/v1/executions"]["get"]["parameters"].clone();
    let limit = parameters
        .as_array()
        .unwrap()
        .iter()
        .find(|parameter| parameter["name"] == "limit");
    let limit = &limit.unwrap()["schema"];
    assert_eq!(
        (&limit["minimum"], &limit["maximum"]),
        (&json!(1), &json!(7))
    );
    let schemas = &served["components"]["schemas"];
    for (name, path_states, status) in [
        ("ChannelDocument", "name", false),
        ("ConnectionDocument", "channel", false),
        ("DocumentView_ChannelDocument", "name", true),
    ] {
        let schema = &schemas[name];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        assert_eq!(required.contains(&json!(path_states)), status, "{name}");
        assert_eq!(required.contains(&json!("status")), status, "{name}");
        assert_eq!(
            schema["properties"].get("status").is_some(),
            status,
            "{name}"
        );
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
    }
    let max_calls = &schemas["ChannelDocument"]["properties"]["max_calls"];
    assert_eq!(
        (&max_calls["minimum"], &max_calls["maximum"]),
        (&json!(1), &json!(4096))
    );
}

#[tokio::test]
async fn allow_lists_the_methods_of_the_path() {
    let host = Host::start().await;
    for (path, expected) in [
        ("/v1/channels/a", "DELETE,GET,HEAD,PUT"),
        ("/v1/channels/a:pause", "POST"),
        ("/v1/executions/a", "GET,HEAD"),
        ("/v1/executions/a:cancel", "POST"),
        ("/v1/keys", "GET,HEAD,POST"),
        ("/v1/keys/a", "DELETE"),
        ("/v1/subscriptions/a", "DELETE,GET,HEAD,PUT"),
        ("/v1/documents:apply", "POST"),
    ] {
        let answer = host.request("OPTIONS", path).await;
        let mut methods: Vec<&str> = answer.header("allow").split(',').collect();
        methods.sort_unstable();
        answer.expect(405);
        assert_eq!(methods.join(","), expected, "{path}");
    }
    let answer = host.act("/v1/jobs/a").await;
    answer.expect(405).has_header("allow", "GET,HEAD");
}
