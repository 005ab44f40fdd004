//! Invalid components: the host refuses them with the reason, and the active version continues.

use anyhow::Result;
use egression_tests::binary;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use egression_tests::wire::Wire;
use reqwest::Method;
use serde_json::Value;

/// The headers of an empty core module and an empty component (the preamble of the binary format).
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[tokio::test]
async fn invalid_component_is_refused() -> Result<()> {
    let host = hostile::start(
        "",
        &[
            HostileChannel::new("ok"),
            HostileChannel::new("sleep").channel("call_timeout_ms = 60000"),
        ],
    )
    .await?;
    let rest = host.rest()?;
    let before: Value = rest.get("/v1/connectors").await?;
    // A call that runs during all of this.
    let asleep = follow::submit(&rest, &upsert("sleep", "p1")).await?;
    follow::until_in_flight(&rest, &asleep).await?;

    let hostile = hostile::component()?;
    let whole = std::fs::read(&hostile)?;
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        (
            "a text",
            b"hello, this is text".to_vec(),
            "connector.not_wasm",
            "not WebAssembly",
        ),
        (
            "nothing",
            Vec::new(),
            "connector.not_wasm",
            "not WebAssembly",
        ),
        (
            "a core module",
            CORE_MODULE.to_vec(),
            "connector.not_a_component",
            "wasm32-wasip2",
        ),
        (
            "half of a component",
            whole[..whole.len() / 2].to_vec(),
            "connector.invalid",
            "not valid",
        ),
        (
            "an empty component",
            EMPTY_COMPONENT.to_vec(),
            "connector.wrong_world",
            "egression:connector/connector@0.1.0",
        ),
        (
            "another world",
            hostile::patched(
                &hostile,
                "egression:connector/connector@",
                "egression:connector/converter@",
            )?,
            "connector.wrong_world",
            "egression:connector/converter@0.1.0",
        ),
        (
            "an import that is not granted",
            hostile::patched(
                &hostile,
                "egression:connector/http@0.1.0",
                "elsewhere:connector/http@0.1.0",
            )?,
            "connector.import_not_granted",
            "elsewhere:connector/http@0.1.0",
        ),
        (
            "another form of the contract",
            hostile::patched(&hostile, "reads-only", "reads-ever")?,
            "connector.contract_mismatch",
            "another form",
        ),
        (
            "what only a trial finds",
            hostile::patched(&hostile, "batch-refused", "batch-refuted")?,
            "connector.trial_failed",
            "trial instance",
        ),
        (
            "a trap in describe",
            std::fs::read(binary::connector("trap-describe")?)?,
            "connector.describe_failed",
            "this connector traps in describe",
        ),
    ];
    for (name, component, code, says) in cases {
        let answer = upload(&rest, component).await?;
        assert_eq!(
            (answer.status, answer.code()),
            (422, code),
            "{name}: {}",
            answer.text
        );
        assert!(
            answer.json["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(says)),
            "{name}: {}",
            answer.text
        );
        assert_eq!(rest.get::<Value>("/v1/connectors").await?, before, "{name}");
    }
    too_large(&rest).await?;
    assert_eq!(rest.get::<Value>("/v1/connectors").await?, before);

    let text = rest
        .request(Method::POST, "/v1/connectors")
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(rest.send(text).await?.status, 415);
    let delivered = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(delivered["status"], "succeeded", "{delivered:#}");
    let asleep = follow::look(&rest, &asleep).await?;
    assert_eq!(
        asleep["counts"]["in_flight"], 1,
        "the running call was disturbed: {asleep:#}"
    );
    Ok(())
}

#[tokio::test]
async fn command_line_explains_an_invalid_file() -> Result<()> {
    let host = hostile::start("", &[]).await?;
    let file = host.directory().join("core.wasm");
    std::fs::write(&file, CORE_MODULE)?;
    let output = host
        .command(&["connector", "install", file.to_str().unwrap()])?
        .output()
        .await?;
    assert_eq!(output.status.code(), Some(4), "the host refused it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("core WebAssembly module") && output.stdout.is_empty(),
        "{said}"
    );
    Ok(())
}

async fn upload(rest: &Rest, component: Vec<u8>) -> Result<Answer> {
    rest.send(
        rest.request(Method::POST, "/v1/connectors")
            .header("content-type", "application/wasm")
            .body(component),
    )
    .await
}

/// 200 MB: refused by the head alone with a length, and at the bound without one.
async fn too_large(rest: &Rest) -> Result<()> {
    const SIZE: usize = 200 * 1024 * 1024;
    let announced = SIZE.to_string();
    let wire = Wire::post(
        rest,
        "/v1/connectors",
        &[
            ("Content-Type", "application/wasm"),
            ("Content-Length", &announced),
        ],
    )
    .await?;
    let answer = wire.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("api.connector_max_bytes"),
        "{answer}"
    );

    let mut wire = Wire::post(
        rest,
        "/v1/connectors",
        &[
            ("Content-Type", "application/wasm"),
            ("Transfer-Encoding", "chunked"),
        ],
    )
    .await?;
    let chunk = vec![0; 1024 * 1024];
    let mut sent = 0;
    while sent < SIZE && wire.send_chunk(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < SIZE, "the host hung up before all of it came");
    let answer = wire.answer().await;
    // The answer can be lost, because the server no longer reads the request.
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413 "),
        "{answer}"
    );
    Ok(())
}
