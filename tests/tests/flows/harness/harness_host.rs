//! A running host with its shop: submits jobs, waits for executions, and reads jobs and events.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use egression_sandbox::RunningShop;
use egression_tests::host::TestHost;
use egression_tests::rest::Rest;
use egression_tests::shop::ShopLog;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::setup::{CHANNEL, TENANT};

/// A longer wait counts as a hang.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct Harness {
    pub host: TestHost,
    pub shop: RunningShop,
    pub log: ShopLog,
    pub rest: Rest,
}

impl Harness {
    /// Submits in bulk and returns the id of the execution.
    pub async fn bulk(&self, defaults: Value, jobs: Vec<Value>) -> Result<String> {
        let mut all = json!({
            "subscription": TENANT, "channels": [CHANNEL], "action": "upsert", "full": true,
        });
        merge(&mut all, defaults);
        let (status, answer) = self
            .rest
            .post("/v1/bulk", &json!({"defaults": all, "jobs": jobs}))
            .await?;
        if !status.is_success() {
            bail!("a bulk request was answered {status}: {answer}");
        }
        id_of(&answer)
    }

    /// Submits one job without waiting, and returns the id of the execution.
    pub async fn submit(&self, job: Value) -> Result<String> {
        let (status, answer) = self.try_submit(job).await?;
        if !status.is_success() {
            bail!("a submission was answered {status}: {answer}");
        }
        id_of(&answer)
    }

    /// Submits one job without waiting, and returns any answer.
    pub async fn try_submit(&self, job: Value) -> Result<(StatusCode, Value)> {
        let mut all = json!({"subscription": TENANT, "channel": CHANNEL, "action": "upsert"});
        merge(&mut all, job);
        let request = self
            .rest
            .request(Method::POST, "/v1/jobs")
            .header("Prefer", "respond-async")
            .json(&all);
        let answer = request.send().await?;
        let status = answer.status();
        Ok((
            status,
            serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null),
        ))
    }

    /// Submits one job, waits for its end, and returns the job.
    pub async fn deliver(&self, job: Value) -> Result<Value> {
        let execution = self.submit(job).await?;
        self.done(&execution).await?;
        self.only_job(&execution).await
    }

    /// Waits until the execution is done.
    pub async fn done(&self, execution: &str) -> Result<Value> {
        let done = async {
            loop {
                let view = self.poll(execution, "wait=10", None).await?;
                if let Some((view, _)) = view
                    && view["done"] == true
                {
                    return anyhow::Ok(view);
                }
            }
        };
        match timeout(PATIENCE, done).await {
            Ok(view) => view,
            Err(_) => bail!(
                "not done after {PATIENCE:?}: {}\n{}",
                self.view(execution).await?,
                self.host.last_lines()
            ),
        }
    }

    /// The current state of the execution.
    pub async fn view(&self, execution: &str) -> Result<Value> {
        self.rest.get(&format!("/v1/executions/{execution}")).await
    }

    /// Waits until the execution matches. Checks after each change and every second.
    pub async fn until(&self, execution: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let looking = async {
            let mut tag = None;
            loop {
                // The first poll does not wait, because without a tag it would wait for the end.
                let prefer = if tag.is_some() { "wait=1" } else { "wait=0" };
                if let Some((view, next)) = self.poll(execution, prefer, tag.take()).await? {
                    if wanted(&view) {
                        return anyhow::Ok(view);
                    }
                    tag = next;
                }
            }
        };
        match timeout(PATIENCE, looking).await {
            Ok(view) => view,
            Err(_) => bail!(
                "no match after {PATIENCE:?}: {}\n{}",
                self.view(execution).await?,
                self.host.last_lines()
            ),
        }
    }

    /// Waits until the only job of the execution waits for this reason.
    pub async fn until_waits(&self, execution: &str, kind: &str) -> Result<Value> {
        let looking = async {
            let mut tag = None;
            loop {
                let job = self.only_job(execution).await?;
                if job["waiting"]["kind"] == kind {
                    return anyhow::Ok(job);
                }
                let prefer = if tag.is_some() { "wait=1" } else { "wait=0" };
                tag = self
                    .poll(execution, prefer, tag.take())
                    .await?
                    .and_then(|(_, next)| next);
            }
        };
        match timeout(PATIENCE, looking).await {
            Ok(job) => job,
            Err(_) => bail!(
                "the job does not wait for {kind}: {}\n{}",
                self.only_job(execution).await?,
                self.host.last_lines()
            ),
        }
    }

    /// One poll; none if nothing changed since the tag.
    async fn poll(
        &self,
        execution: &str,
        prefer: &str,
        tag: Option<String>,
    ) -> Result<Option<(Value, Option<String>)>> {
        let mut request = self
            .rest
            .request(Method::GET, &format!("/v1/executions/{execution}"))
            .header("Prefer", prefer);
        if let Some(tag) = tag {
            request = request.header("If-None-Match", tag);
        }
        let answer = request.send().await?;
        let next = answer
            .headers()
            .get("etag")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        match answer.status() {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => Ok(Some((answer.json().await?, next))),
            status => bail!(
                "GET {execution} answered {status}: {}",
                answer.text().await?
            ),
        }
    }

    /// All jobs of an execution, in order.
    pub async fn jobs(&self, execution: &str) -> Result<Vec<Value>> {
        let mut jobs = Vec::new();
        let mut next = format!("/v1/executions/{execution}/jobs?limit=1000");
        loop {
            let page: Value = self.rest.get(&next).await?;
            jobs.extend(
                page["items"]
                    .as_array()
                    .context("the page has no items")?
                    .iter()
                    .cloned(),
            );
            match page["next"].as_str() {
                Some(link) => next = link.to_owned(),
                None => return Ok(jobs),
            }
        }
    }

    /// The only job of an execution, from its own resource.
    pub async fn only_job(&self, execution: &str) -> Result<Value> {
        let jobs = self.jobs(execution).await?;
        let id = jobs
            .first()
            .and_then(|job| job["id"].as_str())
            .context("the execution has no job")?;
        self.rest.get(&format!("/v1/jobs/{id}")).await
    }

    /// A job's history.
    pub async fn events(&self, job: &Value) -> Result<Vec<Value>> {
        let id = job["id"].as_str().context("the job has no id")?;
        let page: Value = self
            .rest
            .get(&format!("/v1/jobs/{id}/events?limit=1000"))
            .await?;
        Ok(page["items"]
            .as_array()
            .context("the page has no items")?
            .clone())
    }

    /// How many times a stage occurs in a job's history.
    pub async fn stages(&self, job: &Value, stage: &str) -> Result<usize> {
        Ok(self
            .events(job)
            .await?
            .iter()
            .filter(|event| event["stage"] == stage)
            .count())
    }

    /// Posts a custom verb, which must succeed.
    pub async fn act(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.rest.post(path, &json!({})).await?;
        if !status.is_success() {
            bail!("POST {path} answered {status}: {answer}");
        }
        Ok(answer)
    }

    /// Starts the stopped host again on its data.
    pub async fn restart(&mut self) -> Result<()> {
        self.host.restart().await?;
        self.rest = self.host.rest()?;
        Ok(())
    }

    /// Waits for the end, and expects that all jobs succeeded.
    pub async fn expect_all_succeeded(&self, execution: &str, jobs: u64) -> Result<()> {
        let view = self.done(execution).await?;
        expect_sum(&view);
        assert_eq!(view["counts"]["succeeded"], jobs, "{view}");
        assert_eq!(view["counts"]["total"], jobs, "{view}");
        assert_eq!(view["status"], "succeeded");
        Ok(())
    }
}

/// Expects that the counts add up to the total.
pub fn expect_sum(view: &Value) {
    let counts = view["counts"].as_object().expect("counts");
    let states: u64 = counts
        .iter()
        .filter(|(name, _)| *name != "total")
        .filter_map(|(_, count)| count.as_u64())
        .sum();
    assert_eq!(Some(states), counts["total"].as_u64(), "{view}");
}

/// The number of jobs of an execution that wait for this reason.
pub fn waiting(view: &Value, kind: &str) -> u64 {
    let channels = view["channels"].as_array().into_iter().flatten();
    let groups = channels.flat_map(|channel| channel["waiting"].as_array().into_iter().flatten());
    groups
        .filter(|group| group["kind"] == kind)
        .filter_map(|group| group["jobs"].as_u64())
        .sum()
}

/// The time this many milliseconds from now, as the API takes it.
#[allow(clippy::disallowed_methods, reason = "the API takes wall-clock times")]
pub fn instant(in_ms: u64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let at = now + Duration::from_millis(in_ms);
    let (days, second) = (at.as_secs() / 86_400, at.as_secs() % 86_400);
    let (mut year, mut day) = (1970, days);
    let length = |year: u64| {
        if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
            366
        } else {
            365
        }
    };
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let months = [
        31,
        length(year) - 337,
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    let (month, day, millis) = (month + 1, day + 1, at.subsec_millis());
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The body of a category; each text makes different bytes.
pub fn category(text: &str) -> Value {
    json!({"name": {"en": text}})
}

/// A category below another.
pub fn subcategory(text: &str, parent: &str) -> Value {
    json!({"name": {"en": text}, "parent": {"type": "category", "id": parent}})
}

/// A job on a category with an inline body.
pub fn category_job(id: &str, body: &Value) -> Value {
    json!({"object_type": "category", "object_ids": [id], "payload": body, "full": true})
}

fn id_of(answer: &Value) -> Result<String> {
    answer["id"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("no execution in {answer}"))
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
