//! A stopping host finishes running uploads, and a start without a configuration file keeps all
//! documents.

use std::time::Duration;

use anyhow::{Context, Result};
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::process::Running;
use egression_tests::rest::Rest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

const ACME: &str = "[[subscriptions]]\nname = \"acme\"\n";
/// Shorter than the shutdown timeout for requests in progress.
const WITHIN: Duration = Duration::from_secs(30);

/// Reads until the text has this end.
async fn read_until(stream: &mut TcpStream, end: &str) -> Result<String> {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(
            stream
                .read_u8()
                .await
                .with_context(|| String::from_utf8_lossy(&text).into_owned())?,
        );
    }
    Ok(String::from_utf8(text)?)
}

#[tokio::test]
async fn shutdown_finishes_a_running_upload() -> Result<()> {
    let mut host = TestHost::start(ACME).await?;
    let address = host.url()?.trim_start_matches("http://").to_owned();
    let key = host.admin_key()?;
    let body = "{\"subscription\":\"acme\"}\n";
    let mut upload = TcpStream::connect(&address).await?;
    let head = format!(
        "POST /v1/bulk HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    upload.write_all(head.as_bytes()).await?;
    // The host asks for the body, so the request is in progress.
    read_until(&mut upload, "100 Continue\r\n\r\n").await?;
    let rest = async {
        // The host refuses new connections when it has received the signal.
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        upload.write_all(body.as_bytes()).await?;
        read_until(&mut upload, "\r\n\r\n").await
    };
    let (stopped, answer) = tokio::join!(host.stop(WITHIN), rest);
    assert!(answer?.starts_with("HTTP/1.1 202"));
    stopped
}

#[tokio::test]
async fn start_without_a_file_keeps_documents() -> Result<()> {
    let mut host = TestHost::start(ACME).await?;
    host.stop(WITHIN).await?;
    let mut command = Command::new(binary::egression()?);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(host.data_dir())
        .env_remove("EGRESSION_CONFIG");
    let without = Running::start("without", command, host.directory()).await?;
    let rest = Rest::new(without.url(), Some(host.admin_key()?))?;
    let subscription: Value = rest.get("/v1/subscriptions/acme").await?;
    assert_eq!(subscription["status"]["managed_by"], "file");
    without.stop(WITHIN).await
}
