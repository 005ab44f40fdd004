//! A request that is sent byte by byte, so that it can stop at any point.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rest::Rest;

/// A connection with an unfinished request.
#[derive(Debug)]
pub struct Wire(TcpStream);

impl Wire {
    /// Connects and sends the head of a `POST` with the API key of the client and these fields.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn post(rest: &Rest, path: &str, fields: &[(&str, &str)]) -> Result<Self> {
        let authority = rest
            .base()
            .strip_prefix("http://")
            .context("the base URL is not plain HTTP")?;
        let mut wire = Self(TcpStream::connect(authority).await?);
        let mut head =
            format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
        if let Some(key) = rest.key() {
            head.push_str(&format!("Authorization: Bearer {key}\r\n"));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        wire.send(head.as_bytes()).await?;
        Ok(wire)
    }

    /// Sends bytes of the body.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).await?;
        Ok(self.0.flush().await?)
    }

    /// Sends a chunk of a chunked body.
    ///
    /// # Errors
    /// The server has closed the connection.
    pub async fn send_chunk(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(format!("{:x}\r\n", bytes.len()).as_bytes())
            .await?;
        self.send(bytes).await?;
        self.send(b"\r\n").await
    }

    /// Closes the sending direction, even if the body is incomplete.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn stop(&mut self) -> Result<()> {
        Ok(self.0.shutdown().await?)
    }

    /// Reads the answer to its end: the head and the raw body. Empty if the server closed the
    /// connection.
    pub async fn answer(mut self) -> String {
        let mut answer = Vec::new();
        // A reset after the answer means that the server did not read the rest of the request.
        let _ = self.0.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}
