//! The OpenAPI document: the host serves the one in the repository, and every path in it exists.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use egression_tests::host::TestHost;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn description_is_published_and_every_path_answers() -> Result<()> {
    let host = TestHost::start("").await?;
    let rest = host.rest()?.with_key(None);
    let served: Value = rest.get("/v1/openapi.json").await?;
    assert!(
        served["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        served["openapi"]
    );
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    // `cargo xtask test` checks that the document is up to date.
    if published.exists() {
        let published: Value = serde_json::from_str(&std::fs::read_to_string(&published)?)?;
        assert_eq!(
            served, published,
            "update docs/openapi.json with: cargo xtask generate"
        );
    }

    let mut operations = BTreeSet::new();
    for (path, item) in served["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("operations")? {
            let name = operation["operationId"]
                .as_str()
                .with_context(|| format!("{method} {path} has no operationId"))?;
            assert!(operations.insert(name.to_owned()), "{name} is there twice");
            let filled = path.replace("{id}", "exe_1").replace(['{', '}'], "");
            let request = rest.request(
                Method::from_bytes(method.to_uppercase().as_bytes())?,
                &filled,
            );
            let answer = rest
                .send(
                    request
                        .header("content-type", "application/json")
                        .body("{}"),
                )
                .await?;
            // Without a key, an existing path and method answer 401; others answer 404 or 405.
            let open = operation["security"] == json!([{}]);
            assert_eq!(
                answer.status,
                if open { 200 } else { 401 },
                "{method} {path}: {}",
                answer.text
            );
            let responses = operation["responses"].as_object().context("responses")?;
            assert!(
                open || (responses.contains_key("401") && responses.contains_key("default")),
                "{method} {path} has no refusals"
            );
        }
    }
    assert!(
        operations.contains("submitBulk") && operations.len() > 30,
        "{operations:?}"
    );
    all_references_are_there(&served, &served)?;

    // The browsable documentation works offline: it refers to no other host.
    let page = rest
        .send(rest.request(Method::GET, "/docs/"))
        .await?
        .expect(200)?;
    assert!(
        page.header("content-type").starts_with("text/html") && !page.text.contains("https://"),
        "{}",
        page.text
    );
    Ok(())
}

fn all_references_are_there(root: &Value, value: &Value) -> Result<()> {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = reference
                    .strip_prefix('#')
                    .with_context(|| format!("{reference} leaves the document"))?;
                root.pointer(pointer)
                    .with_context(|| format!("{reference} leads nowhere"))?;
            }
            fields
                .values()
                .try_for_each(|field| all_references_are_there(root, field))
        }
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| all_references_are_there(root, item)),
        _ => Ok(()),
    }
}
