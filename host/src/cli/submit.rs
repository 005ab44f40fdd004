//! `egression submit FILE`: sends a file of jobs, and follows what becomes of it if asked to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Output, talk};
use super::payload::{Form, PREFIX_BYTES, Travel, travel};
use super::progress::Progress;
use super::views::{Execution, print_execution};
use super::watch;

/// How long the sending of a file may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The arguments of `egression submit`.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct SubmitArgs {
    /// JSON `{"defaults":{…},"jobs":[…]}`, NDJSON with one job a line, or a single job; `-` is
    /// standard input. A file that is compressed with gzip is sent as it is.
    file: PathBuf,
    /// Shows the progress and waits for the end: bars on a terminal, lines elsewhere.
    #[arg(long)]
    watch: bool,
    /// Waits for the end at most this long; an execution that is not done by then goes on and is no
    /// error.
    #[arg(long, value_name = "SECS")]
    wait: Option<u64>,
    /// Refuses everything if one job is wrong. Otherwise wrong jobs are rejected one by one.
    #[arg(long)]
    strict: bool,
    /// Names this submission: sent again with the same key, it is not done again.
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
    let (form, body, gzip) = open(&args.file).await?;
    let path: &[&str] = if form == Form::Single {
        &["v1", "jobs"]
    } else {
        &["v1", "bulk"]
    };
    let mut request = client
        .request(Method::POST, path, &[])
        .timeout(SEND_TIMEOUT);
    request = request
        .header("content-type", form.media_type())
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
    talk(&format!(
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
    Ok(watch::verdict(&last))
}

/// A key as a string of structured fields (RFC 9651, section 3.3.3).
fn quoted(key: &str) -> String {
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The file as a stream, with its form told from its beginning.
async fn open(file: &Path) -> Result<(Form, reqwest::Body, bool), CommandError> {
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
    let Travel { form, gzip } = travel(file, &prefix, whole)?;
    if whole {
        return Ok((form, prefix.into(), gzip));
    }
    let beginning = futures_util::stream::iter([Ok(bytes::Bytes::from(prefix))]);
    Ok((
        form,
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
    fn the_host_reads_the_key_that_was_given() {
        for key in ["run-7", r#"a"b"#, r"a\b", r#"\"#, r#"\""#, r#""\\"#] {
            let headers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("idempotency-key"),
                quoted(key).parse().unwrap(),
            )]);
            assert_eq!(idempotency::key(&headers).unwrap().as_deref(), Some(key));
        }
    }
}
