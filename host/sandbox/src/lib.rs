//! The sandbox shop: a strict destination for trying out connectors and hosts.
//!
//! It serves the HTTP surface of a small shop (categories, brands, products and offers, one at a
//! time or in batches). It enforces references, versions, idempotency keys and rate limits, and it
//! misbehaves on request. Its log shows whether a client kept its promises. The log is complete:
//! it contains every request and every item that reached the shop. The shop judges a limit by the
//! instant at which the head of a request arrives. All data is in memory; durability, tenants and
//! TLS are left to real shops.
//!
//! A request passes these files:
//!
//! 1. `http/listener` accepts the connection, and `http/arrival_layer` stamps the call.
//! 2. `arrivals/admission` checks the limits, draws the faults and logs the call.
//! 3. `http/auth` checks the token.
//! 4. `http/single` or `http/batch` reads the items (`catalogue/attempt`, `catalogue/body`).
//! 5. `http/perform` applies them under the drawn faults (`catalogue/store`).
//!
//! `report` and `http/control` tell what happened.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use egression_sandbox::{Scenario, Shop};
//!
//! let scenario = Scenario::from_toml("limits = [{ kind = \"concurrency\", max = 4 }]")?;
//! let shop = Shop::start(scenario, "127.0.0.1:0".parse()?).await?;
//! // … let a client work against shop.addr() …
//! let exceeded = shop.report().limit_exceeded;
//! shop.stop().await;
//! # Ok(())
//! # }
//! ```

mod arrivals;
mod catalogue;
mod clock;
mod digest;
mod http;
mod object;
mod refusal;
mod report;
mod scenario;
mod state;
mod tokens;

pub use digest::canonical_digest;
pub use http::{RunningShop, Shop, StartError};
pub use report::{LimitReport, Report};
pub use scenario::{
    CoolDown, Credentials, Faults, Latency, Limit, Scenario, ScenarioChange, ScenarioError,
};
