//! Every refusal is a problem document (RFC 9457), including unknown paths, wrong methods and wrong
//! content types.

use anyhow::Result;
use egression_tests::follow::upsert;
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::redact::redacted;
use reqwest::Method;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn refusals_share_one_shape() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let execution = "exe_01jd8x2m4t7q9v0k3n5r8w1y6z";
    let mut told = Vec::new();
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/v2/jobs", 404),
        (Method::GET, "/v1/executions/exe_nonsense", 404),
        (Method::GET, &format!("/v1/executions/{execution}"), 404),
        (Method::GET, "/v1/jobs/job_nonsense", 404),
        (Method::GET, "/v1/channels/nowhere", 404),
        (Method::GET, "/v1/channels/%FF", 404),
        (Method::GET, "/v1/connectors/nothing", 404),
        (Method::POST, "/v1/executions/exe_1", 405),
        (Method::POST, "/v1/executions/exe_1:explode", 404),
        (Method::GET, "/v1/jobs", 405),
        (Method::PUT, "/v1/bulk", 405),
        (Method::PATCH, "/v1/channels/ok", 405),
        (Method::DELETE, "/livez", 405),
        (Method::GET, "/v1/executions?color=red", 400),
    ] {
        let request = rest
            .request(method.clone(), path)
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let answer = rest.send(request).await?;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{method} {path}: {}",
            answer.text
        );
        assert_eq!(
            (&answer.json["trace_id"], answer.header("trace-id")),
            (&json!(TRACE), TRACE),
            "not the trace of the caller"
        );
        // A 405 lists the allowed methods (RFC 9110, section 15.5.6).
        assert_eq!(
            status == 405,
            !answer.header("allow").is_empty(),
            "{method} {path}: {:?}",
            answer.headers
        );
        told.push(json!({
            "request": format!("{method} {path}"),
            "allow": answer.header("allow"),
            "problem": redacted(&answer.json),
        }));
    }
    insta::assert_json_snapshot!("problems", told);

    for (path, kind) in [
        ("/v1/jobs", "text/plain"),
        ("/v1/bulk", "application/xml"),
        ("/v1/keys", "text/plain"),
        ("/v1/documents:apply", "application/json"),
        ("/v1/connectors", "application/json"),
    ] {
        let answer = rest
            .send(
                rest.request(Method::POST, path)
                    .header("content-type", kind)
                    .body("{}"),
            )
            .await?
            .expect(415)?;
        assert_eq!(answer.code(), "unsupported_media_type", "{path}");
        assert!(
            answer.json["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(kind) && detail.contains("expected")),
            "{}",
            answer.text
        );
    }
    // There is one representation. A client that asks for another one gets it, too (RFC 9110,
    // section 12.5.1).
    let answer = rest
        .send(
            rest.request(Method::GET, "/v1/executions")
                .header("accept", "application/xml"),
        )
        .await?
        .expect(200)?;
    assert_eq!(answer.header("content-type"), "application/json");
    let put: Value = rest
        .send(
            rest.request(Method::POST, "/v1/jobs")
                .json(&upsert("ok", "p1")),
        )
        .await?
        .expect(200)?
        .json;
    assert_eq!(put["status"], "succeeded");
    Ok(())
}
