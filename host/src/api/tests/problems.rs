//! Errors outside the handlers.

use axum::routing::get;

use super::harness::*;
use crate::api::layered;

#[tokio::test]
async fn request_without_a_valid_key_is_401() {
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
async fn error_responses_are_problem_documents() {
    let host = Host::start().await;
    host.get("/v2/jobs").await.has_code("not_found");
    let wrong = host.request("PATCH", "/v1/jobs").await;
    wrong
        .expect(405)
        .has_code("method_not_allowed")
        .has_header("allow", "POST");
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
async fn panic_is_a_500_without_its_text() {
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
    let response = layered(routes, host.state.clone())
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
async fn request_beyond_the_concurrency_bound_is_503() {
    let host = Host::with(ApiSettings {
        request_concurrency: 0,
        ..settings()
    })
    .await;
    let answer = host.get("/v1/executions").await;
    answer.expect(503).has_code("too_many_requests");
    let host = Host::with(ApiSettings {
        receive_concurrency: 0,
        ..ApiSettings::default()
    })
    .await;
    host.post("/v1/jobs", job("1"))
        .await
        .has_code("too_many_submissions");
}
