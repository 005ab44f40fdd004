//! Submits jobs and follows executions as a client does, with long polls.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::rest::{Answer, Rest};

/// A longer wait counts as a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// An upsert of one product with an empty inline body, for the subscription `acme`.
#[must_use]
pub fn upsert(channel: &str, id: &str) -> Value {
    json!({
        "subscription": "acme", "channel": channel, "action": "upsert",
        "object_type": "product", "object_ids": [id], "payload": {},
    })
}

/// Submits a job without waiting for it, and returns the execution.
///
/// # Errors
/// The job is refused.
pub async fn submit(rest: &Rest, job: &Value) -> Result<Value> {
    let request = rest
        .request(Method::POST, "/v1/jobs")
        .header("prefer", "respond-async")
        .json(job);
    Ok(rest.send(request).await?.expect(202)?.json)
}

/// Submits a job, waits for its end, and returns the execution with its jobs.
///
/// # Errors
/// The job is refused, or does not end in time.
pub async fn submit_and_wait(rest: &Rest, job: &Value) -> Result<Value> {
    let request = rest
        .request(Method::POST, "/v1/jobs")
        .header("prefer", "wait=60")
        .json(job);
    Ok(rest.send(request).await?.expect(200)?.json)
}

/// Submits NDJSON lines in one request and returns the answer.
///
/// # Errors
/// The server does not answer.
pub async fn bulk(rest: &Rest, lines: &[Value], prefer: &str) -> Result<Answer> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = rest
        .request(Method::POST, "/v1/bulk")
        .header("content-type", "application/x-ndjson")
        .header("prefer", prefer);
    rest.send(request.body(text)).await
}

/// Follows an execution with long polls until it matches.
///
/// # Errors
/// It does not match within 60 s; the message has its last state.
pub async fn until(
    rest: &Rest,
    execution: &Value,
    matches: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let path = path_of(execution)?;
    let mut seen = Value::Null;
    let poll = async {
        let mut tag = "\"none\"".to_owned();
        loop {
            let request = rest
                .request(Method::GET, &path)
                .header("prefer", "wait=10")
                .header("if-none-match", &tag);
            let answer = rest.send(request).await?;
            if answer.status == 304 {
                continue;
            }
            let answer = answer.expect(200)?;
            answer.header("etag").clone_into(&mut tag);
            seen = answer.json;
            if matches(&seen) {
                return anyhow::Ok(());
            }
        }
    };
    match timeout(PATIENCE, poll).await {
        Ok(polled) => polled?,
        Err(_) => bail!("after {PATIENCE:?} the execution is still {seen:#}"),
    }
    Ok(seen)
}

/// Follows an execution until it is done.
///
/// # Errors
/// As [`until`].
pub async fn until_done(rest: &Rest, execution: &Value) -> Result<Value> {
    until(rest, execution, |seen| seen["done"] == true).await
}

/// Follows an execution until the connector has one of its jobs.
///
/// # Errors
/// As [`until`], or the execution ended first.
pub async fn until_in_flight(rest: &Rest, execution: &Value) -> Result<Value> {
    let seen = until(rest, execution, |seen| {
        seen["done"] == true || seen["counts"]["in_flight"].as_u64() > Some(0)
    })
    .await?;
    if seen["done"] == true {
        bail!("the execution ended first: {seen:#}");
    }
    Ok(seen)
}

/// The only job of an execution, as soon as it waits for this reason. The scheduler decides shortly
/// after acceptance and sends no notification, so this function polls.
///
/// # Errors
/// The job does not wait for it within 60 s; the message has its last state.
pub async fn until_waits_for(rest: &Rest, execution: &Value, kind: &str) -> Result<Value> {
    let mut seen = Value::Null;
    let poll = async {
        loop {
            seen = jobs(rest, execution)
                .await?
                .into_iter()
                .next()
                .context("the execution has no job")?;
            if seen["waiting"]["kind"] == kind {
                return anyhow::Ok(());
            }
        }
    };
    match timeout(PATIENCE, poll).await {
        Ok(polled) => polled?,
        Err(_) => bail!("after {PATIENCE:?} the job does not wait for {kind}: {seen:#}"),
    }
    Ok(seen)
}

/// The current state of an execution.
///
/// # Errors
/// It does not exist.
pub async fn look(rest: &Rest, execution: &Value) -> Result<Value> {
    rest.get(&path_of(execution)?).await
}

/// All jobs of an execution, in order.
///
/// # Errors
/// It does not exist.
pub async fn jobs(rest: &Rest, execution: &Value) -> Result<Vec<Value>> {
    let request = rest
        .request(Method::GET, &format!("{}/jobs", path_of(execution)?))
        .header("accept", "application/x-ndjson");
    let answer = rest.send(request).await?.expect(200)?;
    answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).context("invalid line of NDJSON"))
        .collect()
}

/// The first page of a job's history.
///
/// # Errors
/// It does not exist.
pub async fn events(rest: &Rest, job: &Value) -> Result<Vec<Value>> {
    let id = job["id"].as_str().context("the job has no id")?;
    let page: Value = rest
        .get(&format!("/v1/jobs/{id}/events?limit=1000"))
        .await?;
    Ok(page["items"].as_array().cloned().unwrap_or_default())
}

/// The log lines of the connector in a history, in order.
#[must_use]
pub fn log_lines(events: &[Value]) -> Vec<String> {
    let lines = events
        .iter()
        .filter_map(|event| event["log"].as_array())
        .flatten();
    lines
        .filter_map(|line| line["message"].as_str().map(str::to_owned))
        .collect()
}

/// The path of an execution.
///
/// # Errors
/// It has no id.
pub fn path_of(execution: &Value) -> Result<String> {
    let id = execution["id"]
        .as_str()
        .with_context(|| format!("the execution has no id: {execution}"))?;
    Ok(format!("/v1/executions/{id}"))
}
