//! Sends the submissions one after the other. It repeats a submission without an answer with the
//! same `Idempotency-Key` after the restart of the host.

use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use egression_tests::rest::Rest;
use reqwest::Method;
use serde_json::Value;
use tokio::sync::watch;

use crate::plan::{self, Plan};

#[derive(Debug, Default)]
pub struct Progress {
    executions: Mutex<Vec<String>>,
}

impl Progress {
    pub fn executions(&self) -> Vec<String> {
        self.executions.lock().unwrap().clone()
    }
}

/// Ends when all submissions are acknowledged. `running` is the current host, if there is one.
pub async fn submit_all(
    plan: Plan,
    mut running: watch::Receiver<Option<Rest>>,
    progress: Arc<Progress>,
) -> Result<()> {
    for (number, submission) in plan.submissions().iter().enumerate() {
        let request = plan::request(submission);
        let key = format!("\"kill-{}-{number}\"", plan.seed);
        loop {
            let rest = running
                .wait_for(Option::is_some)
                .await?
                .clone()
                .expect("it was waited for");
            if let Some(execution) = acknowledged(&rest, &request, &key).await? {
                progress.executions.lock().unwrap().push(execution);
                break;
            }
            // No answer: this host was killed. Waits for the next one.
            let dead = rest.base().to_owned();
            running
                .wait_for(|next| next.as_ref().is_none_or(|next| next.base() != dead))
                .await?;
        }
    }
    Ok(())
}

/// The id of the execution, or none without an answer.
async fn acknowledged(rest: &Rest, request: &Value, key: &str) -> Result<Option<String>> {
    let Ok(answer) = rest
        .request(Method::POST, "/v1/bulk")
        .header("Idempotency-Key", key)
        .json(request)
        .send()
        .await
    else {
        return Ok(None);
    };
    let status = answer.status();
    let Ok(bytes) = answer.bytes().await else {
        return Ok(None);
    };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match (status.as_u16(), body["id"].as_str()) {
        (200 | 202, Some(id)) => Ok(Some(id.to_owned())),
        _ => bail!(
            "a submission was answered {status}: {}",
            String::from_utf8_lossy(&bytes)
        ),
    }
}
