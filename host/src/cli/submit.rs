//! `egression submit FILE`: sends a file of jobs and optionally watches the execution.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Output, print_message};
use super::payload::{Format, PREFIX_BYTES, Payload, detect};
use super::progress::Progress;
use super::views::{Execution, print_execution};
use super::watch;

const SEND_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The arguments of `egression submit`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct SubmitArgs {
    /// JSON `{"defaults":{…},"jobs":[…]}`, NDJSON with one job per line, or a single job; `-` reads
    /// standard input. A gzip file is sent unchanged.
    file: PathBuf,
    /// Show the progress and wait for the end. Bars on a terminal, otherwise lines.
    #[arg(long)]
    watch: bool,
    /// Wait for the end, at most this many seconds. If the execution is not done by then, it
    /// continues, and the command succeeds.
    #[arg(long, value_name = "SECS")]
    wait: Option<u64>,
    /// Refuse the whole submission if one job is invalid. Otherwise, invalid jobs are rejected
    /// individually.
    #[arg(long)]
    strict: bool,
    /// Idempotency key: a repeated submission with the same key is not executed again.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(
    args: SubmitArgs,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    let mut preferences = vec!["respond-async"];
    if args.strict {
        preferences.push("handling=strict");
    }
    let (format, body, gzip) = open(&args.file).await?;
    let path: &[&str] = if format == Format::Single {
        &["v1", "jobs"]
    } else {
        &["v1", "bulk"]
    };
    let mut request = client
        .request(Method::POST, path, &[])
        .timeout(SEND_TIMEOUT);
    request = request
        .header("content-type", format.media_type())
        .header("prefer", &preferences.join(", "));
    if gzip {
        request = request.header("content-encoding", "gzip");
    }
    if let Some(key) = &args.idempotency_key {
        request = request.header("idempotency-key", &quoted(key));
    }
    let accepted = request.body(body).send().await?.body;
    conclude(&args, accepted, client, output).await
}

async fn conclude(
    args: &SubmitArgs,
    accepted: Value,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    let execution = Execution::of(&accepted);
    print_message(&format!(
        "accepted as {}: {} jobs, {} refused",
        execution.id, execution.counts.total, execution.counts.rejected
    ));
    if !args.watch && args.wait.is_none() {
        print_execution(output, &accepted)?;
        return Ok(Exit::Done);
    }
    let mut progress = if args.watch {
        Progress::on_stderr()
    } else {
        Progress::Silent
    };
    let last = watch::follow(
        client,
        accepted,
        &mut progress,
        args.wait.map(Duration::from_secs),
    )
    .await?;
    print_execution(output, &last)?;
    Ok(watch::exit_code(&last))
}

/// Encodes a key as a string of structured fields (RFC 9651, section 3.3.3).
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Opens a file as a stream and detects its format.
async fn open(file: &Path) -> Result<(Format, reqwest::Body, bool), CommandError> {
    let read = |source| CommandError::Read {
        path: file.display().to_string(),
        source,
    };
    let mut reader: Box<dyn AsyncRead + Send + Unpin> = if file == Path::new("-") {
        Box::new(tokio::io::stdin())
    } else {
        Box::new(tokio::fs::File::open(file).await.map_err(read)?)
    };
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    (&mut reader)
        .take(PREFIX_BYTES as u64)
        .read_to_end(&mut prefix)
        .await
        .map_err(read)?;
    let whole = prefix.len() < PREFIX_BYTES;
    let Payload { format, gzip } = detect(file, &prefix, whole)?;
    if whole {
        return Ok((format, prefix.into(), gzip));
    }
    let beginning = futures_util::stream::iter([Ok(bytes::Bytes::from(prefix))]);
    Ok((
        format,
        reqwest::Body::wrap_stream(beginning.chain(ReaderStream::new(reader))),
        gzip,
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::idempotency;

    #[test]
    fn idempotency_key_is_read_back_by_the_host() {
        for key in ["run-7", r#"a"b"#, r"a\b", r#"\"#, r#"\""#, r#""\\"#] {
            let headers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("idempotency-key"),
                quoted(key).parse().unwrap(),
            )]);
            assert_eq!(idempotency::key(&headers).unwrap().as_deref(), Some(key));
        }
    }
}
