//! The setup of a test: the configuration of a host, and the scenario of its shop.

use anyhow::Result;
use egression_sandbox::{RunningShop, Scenario, Shop};
use egression_tests::binary;
use egression_tests::host::TestHost;
use egression_tests::shop::ShopLog;

use super::harness_host::Harness;

/// The tenant of all tests.
pub const TENANT: &str = "acme";
/// The channel of most tests.
pub const CHANNEL: &str = "shop";
/// The token for Metadata APIs.
pub const SOURCE_TOKEN: &str = "source-token";

/// The parts that differ between setups. Strings are lines of TOML.
#[derive(Clone, Debug)]
pub struct Setup {
    pub scenario: Scenario,
    /// Tables such as `[server.dispatch]`.
    pub server: String,
    /// Fields of the channel.
    pub channel: String,
    /// Fields of the connection.
    pub connection: String,
    pub mode: &'static str,
    /// The connector logs in; otherwise the host fetches tokens.
    pub login: bool,
    /// More `[[…]]` tables.
    pub more: String,
}

impl Default for Setup {
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

/// Short retry delays.
pub const FAST_RETRY: &str = "retry = { base_ms = 20, max_ms = 200, attempts = 20 }\n";

impl Setup {
    /// Starts a shop and a host.
    pub async fn start(self) -> Result<Harness> {
        let shop = Shop::start(self.scenario.clone(), "127.0.0.1:0".parse()?).await?;
        self.start_with(shop).await
    }

    /// Starts a host for an existing shop.
    pub async fn start_with(self, shop: RunningShop) -> Result<Harness> {
        let host = TestHost::unstarted(&self.text(&format!("http://{}", shop.addr())))?;
        self.install(host, shop).await
    }

    /// Starts a host that was created with this setup's text.
    pub async fn install(self, mut host: TestHost, shop: RunningShop) -> Result<Harness> {
        host.env("SHOP_SECRET", &self.scenario.credentials.client_secret);
        host.env("SHOP_API_KEY", &self.scenario.credentials.api_key);
        host.env("SOURCE_TOKEN", SOURCE_TOKEN);
        host.restart().await?;
        host.install_connector(&binary::connector("sandbox")?)
            .await?;
        let rest = host.rest()?;
        Ok(Harness {
            host,
            log: ShopLog::new(format!("http://{}", shop.addr()))?,
            shop,
            rest,
        })
    }

    /// The text of the configuration file.
    pub fn text(&self, url: &str) -> String {
        format!(
            r#"{server}
[[subscriptions]]
name = "{TENANT}"

[[sources]]
name = "inline"
subscriptions = ["*"]
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
            "{{ scheme = \"oauth2_client_credentials\", token_url = \"{url}/oauth/token\", \
             client_id = \"sandbox\", client_secret = {{ env = \"SHOP_SECRET\" }} }}"
        )
    };
    format!(
        "settings = {{ base_url = \"{url}\", mode = \"{mode}\", login = {login} }}\n\
         auth = {auth}\nallow_addresses = [\"127.0.0.1/32\"]\n"
    )
}

/// A source table for a Metadata API at the URL.
pub fn source(url: &str, more: &str) -> String {
    format!(
        r#"
[[sources]]
name = "pim"
subscriptions = ["{TENANT}"]
kind = "http"
object_url = "{url}/objects/{{type}}/{{id}}"
batch_url = "{url}/objects:batchGet"
auth = {{ scheme = "bearer", token = {{ env = "SOURCE_TOKEN" }} }}
allow_addresses = ["127.0.0.1/32"]
{more}
"#
    )
}
