//! Components that are made to be expensive to compile: they are refused or stopped, and other
//! installations proceed meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use egression_tests::binary;
use egression_tests::hostile;
use egression_tests::rest::{Answer, Rest};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use wasm_encoder::{CodeSection, Component, FunctionSection, Module, ModuleSection, TypeSection};

/// A longer wait counts as a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Functions `() -> ()` with the same body: its locals, its instructions and the end.
fn component_of(functions: usize, body: &[u8]) -> Vec<u8> {
    let (mut types, mut declared, mut code) = (
        TypeSection::new(),
        FunctionSection::new(),
        CodeSection::new(),
    );
    types.ty().function([], []);
    for _ in 0..functions {
        declared.function(0);
        code.raw(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    let mut component = Component::new();
    component.section(&ModuleSection(&module));
    component.finish()
}

/// Within the default bounds, but it takes long: functions that call each other thousands of times.
fn slow_component() -> Vec<u8> {
    const CALLS: usize = 50_000;
    component_of(40, &[&[0][..], &[0x10, 0].repeat(CALLS), &[0x0b]].concat())
}

#[tokio::test]
async fn component_of_a_million_functions_is_refused() -> Result<()> {
    let host = hostile::start("", &[]).await?;
    let rest = host.rest()?;
    let before: Value = rest.get("/v1/connectors").await?;
    let answer = upload(&rest, component_of(1_000_000, &[0, 0x0b])).await?;
    assert_eq!(
        (answer.status, answer.code()),
        (422, "connector.oversize"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("runtime.compile.max_functions"));
    assert_eq!(rest.get::<Value>("/v1/connectors").await?, before);
    Ok(())
}

#[tokio::test]
async fn component_that_compiles_too_long_is_stopped() -> Result<()> {
    let host = hostile::start("[server.runtime.compile]\ndeadline_ms = 3000\n", &[]).await?;
    let rest = host.rest()?;
    let answer = upload(&rest, slow_component()).await?;
    assert_eq!(
        (answer.status, answer.code()),
        (422, "connector.compile_timeout"),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("runtime.compile.deadline_ms"));
    let id = host.id().context("it runs")?;
    assert_eq!(compilers(id)?, 0, "its process is gone");
    Ok(())
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn client_that_disconnects_ends_its_compilation() -> Result<()> {
    let host = hostile::start("[server.runtime.compile]\ndeadline_ms = 600000\n", &[]).await?;
    let (rest, id) = (host.rest()?, host.id().context("it runs")?);
    let client = rest.clone();
    let uploading = tokio::spawn(async move { upload(&client, slow_component()).await });
    until_compilers(id, 1).await?;

    host.install_connector(&binary::connector("sandbox")?)
        .await?;
    assert_eq!(compilers(id)?, 1, "the slow one compiles meanwhile");

    uploading.abort();
    until_compilers(id, 0).await
}

async fn upload(rest: &Rest, component: Vec<u8>) -> Result<Answer> {
    rest.send(
        rest.request(Method::POST, "/v1/connectors")
            .header("content-type", "application/wasm")
            .body(component),
    )
    .await
}

async fn until_compilers(host: u32, count: usize) -> Result<()> {
    let wait = async {
        while compilers(host)? != count {
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    match timeout(PATIENCE, wait).await {
        Ok(waited) => waited,
        Err(_) => bail!("the host has {} compilers", compilers(host)?),
    }
}

/// The number of processes in which the host compiles.
fn compilers(host: u32) -> Result<usize> {
    let mut count = 0;
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        // A process may end while it is looked at.
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        let arguments = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        // proc(5): after the name in parentheses come the state and the id of the parent.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, fields)| fields.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(host) && arguments.contains("compile-component") {
            count += 1;
        }
    }
    Ok(count)
}
