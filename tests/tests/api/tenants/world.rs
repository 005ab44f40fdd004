//! Two tenants: `acme-co`, who owns a source, a channel and a connector's only use, and `other`,
//! who tries to see them.

use anyhow::{Context, Result};
use egression_sandbox::{RunningShop, Scenario, Shop};
use egression_tests::binary;
use egression_tests::follow;
use egression_tests::host::TestHost;
use egression_tests::hostile;
use egression_tests::rest::Rest;
use egression_tests::source::{MetadataApi, SourceObject};
use reqwest::Method;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::operations::Name;

/// The object that the owner delivers from its source, and a word in its body.
pub const OBJECT: &str = "secret-object";
pub const BODY: &str = "secret-body";
/// The idempotency key that the owner uses.
pub const IDEMPOTENCY_KEY: &str = "nightly";
const SOURCE_TOKEN: &str = "source-token";

pub struct World {
    /// Stops when it is dropped.
    _host: TestHost,
    /// The key of the operator.
    pub operator: Rest,
    pub source: MetadataApi,
    /// The shop of `other`.
    pub shop: RunningShop,
    pub owner: Tenant,
    pub other: Tenant,
}

/// The names and ids of a tenant.
pub struct Tenant {
    pub subscription: &'static str,
    source: &'static str,
    channel: &'static str,
    connector: &'static str,
    object: &'static str,
    pub execution: String,
    job: String,
    key: String,
    limit: String,
}

impl Tenant {
    pub fn value(&self, name: Name) -> String {
        match name {
            Name::Subscription => self.subscription.to_owned(),
            Name::Source => self.source.to_owned(),
            Name::Channel => self.channel.to_owned(),
            Name::Connector => self.connector.to_owned(),
            Name::ObjectId => self.object.to_owned(),
            Name::Execution => self.execution.clone(),
            Name::Job => self.job.clone(),
            Name::Key => self.key.clone(),
            Name::Limit => self.limit.clone(),
        }
    }

    /// A value that nobody has. Ids are of the same time, so that they are not expired. `use_of`
    /// makes names differ, because an operation can create them.
    pub fn absent(&self, name: Name, use_of: &str) -> String {
        let changed = |id: &str| {
            let last = if id.ends_with('1') { "2" } else { "1" };
            format!("{}{last}", &id[..id.len() - 1])
        };
        match name {
            Name::Execution => changed(&self.execution),
            Name::Job => format!("job_{}00000", &changed(&self.execution)[4..]),
            Name::Key => changed(&self.key),
            Name::Limit => "connection:999".to_owned(),
            _ => format!("absent-{name:?}-{use_of}").to_lowercase(),
        }
    }
}

impl World {
    pub async fn start() -> Result<Self> {
        let body = json!({"name": {"en": BODY}});
        let object = SourceObject {
            id: OBJECT.to_owned(),
            object_type: "product".to_owned(),
            revision: 1,
            body: to_raw_value(&body)?,
        };
        let source = MetadataApi::start([object], SOURCE_TOKEN).await?;
        let shop = Shop::start(Scenario::default(), "127.0.0.1:0".parse()?).await?;
        let (pim, url) = (source.url(), format!("http://{}", shop.addr()));
        let mut host = TestHost::unstarted(&configuration(&pim, &url))?;
        let secret = Scenario::default().credentials.client_secret;
        host.env("SHOP_SECRET", &secret);
        host.env("SOURCE_TOKEN", SOURCE_TOKEN);
        host.restart().await?;
        host.install_connector(&hostile::component()?).await?;
        host.install_connector(&binary::connector("sandbox")?)
            .await?;
        let operator = host.rest()?;
        let owner = owner(&operator).await?;
        let other = other(&operator).await?;
        Ok(Self {
            _host: host,
            operator,
            source,
            shop,
            owner,
            other,
        })
    }

    /// A new key of a role; with a subscription, bound to it.
    pub async fn key(&self, role: &str, subscription: Option<&str>) -> Result<Rest> {
        let made = key(&self.operator, role, subscription).await?;
        Ok(self.operator.with_key(made["key"].as_str()))
    }

    /// Words that no answer to `other` may contain.
    pub fn marks(&self) -> Vec<String> {
        let owner = &self.owner;
        let names = [
            Name::Subscription,
            Name::Source,
            Name::Channel,
            Name::Connector,
            Name::ObjectId,
            Name::Execution,
            Name::Job,
            Name::Key,
        ];
        let named = names.map(|name| owner.value(name));
        named.into_iter().chain([BODY.to_owned()]).collect()
    }
}

async fn key(operator: &Rest, role: &str, subscription: Option<&str>) -> Result<Value> {
    let wanted = json!({"role": role, "subscription": subscription});
    let request = operator.request(Method::POST, "/v1/keys").json(&wanted);
    Ok(operator.send(request).await?.expect(201)?.json)
}

/// The owner delivers an object from its source.
async fn owner(operator: &Rest) -> Result<Tenant> {
    let job = json!({
        "subscription": "acme-co", "source": "pim", "channel": "theirs", "action": "upsert",
        "object_type": "product", "object_ids": [OBJECT],
    });
    let request = operator
        .request(Method::POST, "/v1/jobs")
        .header("prefer", "wait=60")
        .header("idempotency-key", IDEMPOTENCY_KEY)
        .json(&job);
    let execution = operator.send(request).await?.expect(200)?.json;
    anyhow::ensure!(execution["status"] == "succeeded", "{execution:#}");
    let key = key(operator, "read", Some("acme-co")).await?;
    tenant(
        operator,
        &execution,
        &key,
        ["acme-co", "pim", "theirs", "hostile", OBJECT],
    )
    .await
}

async fn other(operator: &Rest) -> Result<Tenant> {
    let job = json!({
        "subscription": "other", "source": "inline", "channel": "mine", "action": "upsert",
        "object_type": "category", "object_ids": ["c1"], "payload": {"name": {"en": "Shoes"}},
    });
    let execution = follow::submit_and_wait(operator, &job).await?;
    anyhow::ensure!(execution["status"] == "succeeded", "{execution:#}");
    let key = key(operator, "read", Some("other")).await?;
    // Both tenants have a connection of this channel, so its name is no secret.
    tenant(
        operator,
        &execution,
        &key,
        ["other", "inline", "shared", "sandbox", "c1"],
    )
    .await
}

async fn tenant(
    operator: &Rest,
    execution: &Value,
    key: &Value,
    names: [&'static str; 5],
) -> Result<Tenant> {
    let [subscription, source, channel, connector, object] = names;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("an id");
    let limits: Value = operator
        .get(&format!("/v1/limits?subscription={subscription}"))
        .await?;
    Ok(Tenant {
        subscription,
        source,
        channel,
        connector,
        object,
        execution: text(&execution["id"])?,
        job: text(&execution["jobs"][0]["id"])?,
        key: text(&key["id"])?,
        limit: text(&limits["items"][0]["key"])?,
    })
}

fn configuration(pim: &str, shop: &str) -> String {
    format!(
        r#"
[[subscriptions]]
name = "acme-co"
[[subscriptions]]
name = "other"

[[sources]]
name = "pim"
subscriptions = ["acme-co"]
kind = "http"
object_url = "{pim}/objects/{{type}}/{{id}}"
auth = {{ scheme = "bearer", token = {{ env = "SOURCE_TOKEN" }} }}
allow_addresses = ["127.0.0.1/32"]
[[sources]]
name = "inline"
subscriptions = ["other"]
kind = "inline"

[[channels]]
name = "theirs"
subscriptions = ["acme-co"]
connector = "hostile"
[[channels]]
name = "mine"
subscriptions = ["other"]
connector = "sandbox"
[[channels]]
name = "shared"
connector = "sandbox"

[[connections]]
subscription = "acme-co"
channel = "theirs"
settings = {{ behave = "ok" }}
[[connections]]
subscription = "acme-co"
channel = "shared"
settings = {{ base_url = "https://shop.example", mode = "single" }}
[[connections]]
subscription = "other"
channel = "shared"
settings = {{ base_url = "https://shop.example", mode = "single" }}
[[connections]]
subscription = "other"
channel = "mine"
settings = {{ base_url = "{shop}", mode = "single" }}
auth = {{ scheme = "oauth2_client_credentials", token_url = "{shop}/oauth/token",
    client_id = "sandbox", client_secret = {{ env = "SHOP_SECRET" }} }}
allow_addresses = ["127.0.0.1/32"]
"#
    )
}
