//! What every request meets: keys, unknown paths, wrong methods, panics, documentation, health.

use axum::routing::get;

use super::*;

#[tokio::test]
async fn without_a_good_key_there_is_nothing() {
    let host = Host::start().await;
    for authorization in [
        None,
        Some("Bearer egk_00000000000000000000000000000000"),
        Some("Basic YTpi"),
        Some("Bearer nonsense"),
    ] {
        let mut request = Request::get("/v1/executions");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = host.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (401, "unauthenticated"),
            "{authorization:?}"
        );
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem() {
    let host = Host::start().await;
    assert_eq!(host.get("/v2/jobs").await.problem(), "not_found");
    let wrong = host.call("PATCH", "/v1/jobs", &[], None).await;
    assert_eq!(
        (
            wrong.status.as_u16(),
            wrong.problem().as_str(),
            wrong.header("allow")
        ),
        (405, "method_not_allowed", "POST")
    );
    for path in [
        "/v1/executions/exe_1",
        "/v1/executions/nonsense",
        "/v1/jobs/job_1",
        "/v1/executions/%FF",
        "/v1/keys/x",
    ] {
        let answer = host.get(path).await;
        assert!(
            [404, 405].contains(&answer.status.as_u16()),
            "{path}: {}",
            answer.status
        );
        answer.problem();
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_of_its_text() {
    let host = Host::start().await;
    let routes: Router<ApiState> = Router::new().route(
        "/boom",
        get(|| async {
            if true {
                panic!("the secret is correct-horse")
            }
        }),
    );
    let request = Request::get("/boom").body(Body::empty()).unwrap();
    let response = dressed(routes, host.state.clone())
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), 500);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let problem: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(problem["code"], "internal");
    assert!(!problem.to_string().contains("correct-horse"));
    assert_ne!(problem["trace_id"], "0".repeat(32));
}

#[tokio::test]
async fn more_requests_than_the_bound_are_sent_away() {
    let host = Host::with(ApiSettings {
        request_concurrency: 0,
        ..ApiSettings::default()
    })
    .await;
    let answer = host.get("/v1/executions").await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (503, "too_many_requests")
    );
    let host = Host::with(ApiSettings {
        receive_concurrency: 0,
        ..ApiSettings::default()
    })
    .await;
    assert_eq!(
        host.post("/v1/jobs", job("1")).await.problem(),
        "too_many_submissions"
    );
}

#[tokio::test]
async fn health_needs_no_key() {
    let host = Host::start().await;
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 404)] {
        assert_eq!(
            host.send(Request::get(path).body(Body::empty()).unwrap())
                .await
                .status,
            status,
            "{path}"
        );
    }
    host.ready.send_replace(false);
    assert_eq!(host.get("/readyz").await.problem(), "not_ready");
    let apart = operations(host.state.clone())
        .oneshot(Request::get("/livez").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(apart.status(), 200);
}

#[tokio::test]
async fn a_host_that_cannot_write_is_not_ready() {
    let host = Host::start().await;
    host.state.store.break_writer().await;
    let answer = host.get("/readyz").await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (503, "not_ready")
    );
    assert_eq!(host.get("/livez").await.status, 200);
}

#[tokio::test]
async fn the_documentation_is_served_without_a_network() {
    let host = Host::start().await;
    let served = host.get("/v1/openapi.json").await;
    assert_eq!(served.json(), serde_json::to_value(openapi()).unwrap());
    let page = host.get("/docs/").await;
    assert_eq!(page.status, 200);
    for text in [
        page.text,
        host.get("/docs/swagger-initializer.js").await.text,
    ] {
        assert!(!text.contains("https://"), "{text}");
    }
}

#[test]
fn every_operation_of_the_contract_is_described() {
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
fn every_reference_of_the_description_leads_somewhere() {
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
