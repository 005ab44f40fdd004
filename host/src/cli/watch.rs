//! Watches an execution to its end by long polls: the host responds when the state changes.

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, MissedTickBehavior, interval, timeout};

use super::client::{Answer, Client, ClientError};
use super::exit::Exit;
use super::progress::Progress;
use super::views::Execution;

/// The longest wait of one poll, in seconds.
const POLL_S: u64 = 30;
/// Consecutive polls that may fail before the command gives up; this covers a restart of the host.
const MAX_FAILURES: u32 = 30;
/// The least time from a failed poll to the next one.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Watches an execution until it is done, or for `at_most`. Returns its last known state.
pub(super) async fn follow(
    client: &Client,
    first: Value,
    progress: &mut Progress,
    at_most: Option<Duration>,
) -> Result<Value, ClientError> {
    let mut latest = first;
    if let Some(at_most) = at_most {
        match timeout(at_most, poll_until_done(client, &mut latest, progress)).await {
            Ok(outcome) => outcome?,
            Err(_) => progress.finish(),
        }
    } else {
        poll_until_done(client, &mut latest, progress).await?;
    }
    Ok(latest)
}

/// The exit code for the last state. An execution that is not done yet is not an error.
pub(super) fn exit_code(body: &Value) -> Exit {
    let execution = Execution::of(body);
    if !execution.done || execution.ended_well() {
        Exit::Done
    } else {
        Exit::EndedWithErrors
    }
}

async fn poll_until_done(
    client: &Client,
    latest: &mut Value,
    progress: &mut Progress,
) -> Result<(), ClientError> {
    let execution = Execution::of(latest);
    progress.show(&execution);
    let mut done = execution.done;
    let mut etag: Option<String> = None;
    let mut failures = 0;
    // Long polls return as fast as the state changes; updates of the display need not.
    let mut pace = interval(progress.interval());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !done {
        pace.tick().await;
        match poll(client, &execution.id, etag.as_deref()).await {
            Ok(answer) => {
                failures = 0;
                if answer.status != StatusCode::NOT_MODIFIED {
                    etag = answer.etag().map(ToOwned::to_owned);
                    *latest = answer.body;
                    let execution = Execution::of(latest);
                    progress.show(&execution);
                    done = execution.done;
                }
            }
            Err(error) if error.is_transient() && failures < MAX_FAILURES => {
                failures += 1;
                progress.lost(&error);
                pace.reset_after(AFTER_FAILURE);
            }
            Err(error) => {
                progress.finish();
                return Err(error);
            }
        }
    }
    progress.finish();
    Ok(())
}

async fn poll(client: &Client, id: &str, etag: Option<&str>) -> Result<Answer, ClientError> {
    client
        .request(Method::GET, &["v1", "executions", id], &[])
        .when_changed(etag, POLL_S)
        .send()
        .await
}
