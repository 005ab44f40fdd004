//! A host with one shop and the words in which tests talk to it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use egression_sandbox::{RunningShop, Scenario, Shop};
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::rest::Rest;
use egression_tests::shop::ShopLog;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

/// What takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The tenant of all tests.
pub const TENANT: &str = "acme";
/// The channel of most tests.
pub const CHANNEL: &str = "shop";
/// The token of Metadata APIs.
pub const SOURCE_TOKEN: &str = "source-token";

/// What differs between set-ups. Texts are lines of TOML.
#[derive(Clone, Debug)]
pub struct Layout {
    pub scenario: Scenario,
    /// Tables like `[server.dispatch]`.
    pub server: String,
    /// Fields of the channel.
    pub channel: String,
    /// Fields of the connection.
    pub connection: String,
    pub mode: &'static str,
    /// The connector logs in by itself; else the host fetches tokens.
    pub login: bool,
    /// More `[[…]]` tables.
    pub more: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            scenario: Scenario::default(),
            server: "[server.dispatch]\nprobe_min_ms = 200\nprobe_max_ms = 400\n".to_owned(),
            channel: String::new(),
            connection: String::new(),
            mode: "batch",
            login: false,
            more: String::new(),
        }
    }
}

/// Fast retries, so that a test does not wait for seconds.
pub const FAST_RETRY: &str = "retry = { base_ms = 20, max_ms = 200, attempts = 20 }\n";

/// A host, its shop, and how to talk to both.
pub struct Rig {
    pub host: TestHost,
    pub shop: RunningShop,
    pub log: ShopLog,
    pub rest: Rest,
}

impl Layout {
    /// Starts everything.
    pub async fn start(self) -> Result<Rig> {
        let shop = Shop::start(self.scenario.clone(), "127.0.0.1:0".parse()?).await?;
        self.start_with(shop).await
    }

    /// Starts a host for a shop that is there.
    pub async fn start_with(self, shop: RunningShop) -> Result<Rig> {
        let host = TestHost::unstarted(&self.text(&format!("http://{}", shop.addr())))?;
        self.install(host, shop).await
    }

    /// Starts a host that was made with this layout's text.
    pub async fn install(self, mut host: TestHost, shop: RunningShop) -> Result<Rig> {
        host.env("SHOP_SECRET", &self.scenario.credentials.client_secret);
        host.env("SHOP_API_KEY", &self.scenario.credentials.api_key);
        host.env("SOURCE_TOKEN", SOURCE_TOKEN);
        host.restart().await?;
        host.install_connector(&binary::connector("sandbox")?)
            .await?;
        let rest = host.rest()?;
        Ok(Rig {
            host,
            log: ShopLog::new(format!("http://{}", shop.addr()))?,
            shop,
            rest,
        })
    }

    /// The configuration file.
    pub fn text(&self, url: &str) -> String {
        format!(
            r#"{server}
[[subscriptions]]
name = "{TENANT}"

[[sources]]
name = "inline"
kind = "inline"

[[channels]]
name = "{CHANNEL}"
connector = "sandbox"
{channel}
[[connections]]
subscription = "{TENANT}"
channel = "{CHANNEL}"
{connection}{ends}
{more}"#,
            server = self.server,
            channel = self.channel,
            connection = self.connection,
            ends = connection(url, self.mode, self.login),
            more = self.more,
        )
    }
}

/// The fields of a connection to the shop at the URL.
pub fn connection(url: &str, mode: &str, login: bool) -> String {
    let auth = if login {
        r#"{ scheme = "connector", secrets = { api_key = { env = "SHOP_API_KEY" } } }"#.to_owned()
    } else {
        format!(
            r#"{{ scheme = "oauth2_client_credentials", token_url = "{url}/oauth/token", client_id = "sandbox", client_secret = {{ env = "SHOP_SECRET" }} }}"#
        )
    };
    format!(
        "settings = {{ base_url = \"{url}\", mode = \"{mode}\", login = {login} }}\nauth = {auth}\nallow_addresses = [\"127.0.0.1/32\"]\n"
    )
}

/// A source table for a Metadata API at the URL.
pub fn source(url: &str, more: &str) -> String {
    format!(
        r#"
[[sources]]
name = "pim"
kind = "http"
object_url = "{url}/objects/{{type}}/{{id}}"
batch_url = "{url}/objects:batchGet"
auth = {{ scheme = "bearer", token = {{ env = "SOURCE_TOKEN" }} }}
allow_addresses = ["127.0.0.1/32"]
{more}
"#
    )
}

impl Rig {
    /// Submits in bulk; the execution's id.
    pub async fn bulk(&self, defaults: Value, jobs: Vec<Value>) -> Result<String> {
        let mut all = json!({"subscription": TENANT, "channels": [CHANNEL], "action": "upsert", "full": true});
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

    /// Submits one job without waiting for its end; the execution's id.
    pub async fn submit(&self, job: Value) -> Result<String> {
        let (status, answer) = self.try_submit(job).await?;
        if !status.is_success() {
            bail!("a submission was answered {status}: {answer}");
        }
        id_of(&answer)
    }

    /// Submits one job without waiting for its end; whatever is answered.
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

    /// Submits one job and waits for its end; the job.
    pub async fn deliver(&self, job: Value) -> Result<Value> {
        let execution = self.submit(job).await?;
        self.done(&execution).await?;
        self.only_job(&execution).await
    }

    /// The execution, once it is done.
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

    /// The execution as it stands.
    pub async fn view(&self, execution: &str) -> Result<Value> {
        self.rest.get(&format!("/v1/executions/{execution}")).await
    }

    /// The execution, once it is as wanted. Looked at after each change, and every second.
    pub async fn until(&self, execution: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let looking = async {
            let mut tag = None;
            loop {
                // The first look does not wait: without a tag, waiting would be for the end.
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
                "not as wanted after {PATIENCE:?}: {}\n{}",
                self.view(execution).await?,
                self.host.last_lines()
            ),
        }
    }

    /// The only job of an execution, once it waits for this reason.
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
                "does not wait for {kind}: {}\n{}",
                self.only_job(execution).await?,
                self.host.last_lines()
            ),
        }
    }

    /// One look; none if nothing changed since the tag.
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

    /// The jobs of an execution in their order, all pages.
    pub async fn jobs(&self, execution: &str) -> Result<Vec<Value>> {
        let mut jobs = Vec::new();
        let mut next = format!("/v1/executions/{execution}/jobs?limit=1000");
        loop {
            let page: Value = self.rest.get(&next).await?;
            jobs.extend(
                page["items"]
                    .as_array()
                    .context("a page has items")?
                    .iter()
                    .cloned(),
            );
            match page["next"].as_str() {
                Some(link) => next = link.to_owned(),
                None => return Ok(jobs),
            }
        }
    }

    /// The only job of an execution, as asked for by itself.
    pub async fn only_job(&self, execution: &str) -> Result<Value> {
        let jobs = self.jobs(execution).await?;
        let id = jobs
            .first()
            .and_then(|job| job["id"].as_str())
            .context("the execution has a job")?;
        self.rest.get(&format!("/v1/jobs/{id}")).await
    }

    /// A job's history.
    pub async fn events(&self, job: &Value) -> Result<Vec<Value>> {
        let id = job["id"].as_str().context("a job has an id")?;
        let page: Value = self
            .rest
            .get(&format!("/v1/jobs/{id}/events?limit=1000"))
            .await?;
        Ok(page["items"]
            .as_array()
            .context("a page has items")?
            .clone())
    }

    /// How often a stage is in a job's history.
    pub async fn stages(&self, job: &Value, stage: &str) -> Result<usize> {
        Ok(self
            .events(job)
            .await?
            .iter()
            .filter(|event| event["stage"] == stage)
            .count())
    }

    /// `POST` of a verb; must succeed.
    pub async fn act(&self, path: &str) -> Result<Value> {
        let (status, answer) = self.rest.post(path, &json!({})).await?;
        if !status.is_success() {
            bail!("POST {path} answered {status}: {answer}");
        }
        Ok(answer)
    }

    /// Starts the host again on its data.
    pub async fn restart(&mut self) -> Result<()> {
        self.host.restart().await?;
        self.rest = self.host.rest()?;
        Ok(())
    }

    /// Counts of a finished execution are all `succeeded` and add up.
    pub async fn expect_all_succeeded(&self, execution: &str, jobs: u64) -> Result<()> {
        let view = self.done(execution).await?;
        expect_sum(&view);
        assert_eq!(view["counts"]["succeeded"], jobs, "{view}");
        assert_eq!(view["counts"]["total"], jobs, "{view}");
        assert_eq!(view["status"], "succeeded");
        Ok(())
    }
}

/// The counts partition the total.
pub fn expect_sum(view: &Value) {
    let counts = view["counts"].as_object().expect("an execution has counts");
    let states: u64 = counts
        .iter()
        .filter(|(name, _)| *name != "total")
        .filter_map(|(_, count)| count.as_u64())
        .sum();
    assert_eq!(Some(states), counts["total"].as_u64(), "{view}");
}

/// Jobs of an execution on the channel by what they wait for.
pub fn waiting(view: &Value, kind: &str) -> u64 {
    let channels = view["channels"].as_array().into_iter().flatten();
    let groups = channels.flat_map(|channel| channel["waiting"].as_array().into_iter().flatten());
    groups
        .filter(|group| group["kind"] == kind)
        .filter_map(|group| group["jobs"].as_u64())
        .sum()
}

/// A category's body; no two texts are the same bytes.
pub fn category(text: &str) -> Value {
    json!({"name": {"en": text}})
}

/// A category below another.
pub fn subcategory(text: &str, parent: &str) -> Value {
    json!({"name": {"en": text}, "parent": {"type": "category", "id": parent}})
}

/// An inline job on a category.
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
