//! Following an execution to its end by long polls: the host answers when there is news.

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Duration, MissedTickBehavior, interval, timeout};

use super::client::{Answer, Client, ClientError};
use super::exit::Exit;
use super::progress::Progress;
use super::views::Execution;

/// How long one poll may wait for news, in seconds.
const POLL_S: u64 = 30;
/// Polls in a row that may fail before following ends: a host that is restarted is waited for.
const PATIENCE: u32 = 30;
/// The least time from a poll that failed to the next one.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Follows an execution until it is done, or for `at_most`. Returns its last known state.
pub(super) async fn follow(
    client: &Client,
    first: Value,
    progress: &mut Progress,
    at_most: Option<Duration>,
) -> Result<Value, ClientError> {
    let mut latest = first;
    if let Some(at_most) = at_most {
        match timeout(at_most, to_the_end(client, &mut latest, progress)).await {
            Ok(outcome) => outcome?,
            Err(_) => progress.finish(),
        }
    } else {
        to_the_end(client, &mut latest, progress).await?;
    }
    Ok(latest)
}

/// How a followed execution ended, as an exit code. One that is not done yet is no error.
pub(super) fn verdict(body: &Value) -> Exit {
    let execution = Execution::of(body);
    if !execution.done || execution.ended_well() {
        Exit::Done
    } else {
        Exit::EndedWithErrors
    }
}

async fn to_the_end(
    client: &Client,
    latest: &mut Value,
    progress: &mut Progress,
) -> Result<(), ClientError> {
    let execution = Execution::of(latest);
    progress.show(&execution);
    let mut done = execution.done;
    let mut etag: Option<String> = None;
    let mut failures = 0;
    // Long polls come back as fast as things change; pictures need not.
    let mut pace = interval(progress.pace());
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
            Err(error) if error.is_passing() && failures < PATIENCE => {
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
