//! The sandbox shop: a destination that behaves like a strict real one, to try connectors and
//! hosts against.
//!
//! It speaks the HTTP surface of a small shop (categories, brands, products, offers, one by one or
//! in batches), insists on references, versions, idempotency keys and rate limits, misbehaves on
//! request, and keeps a log from which one can tell afterwards whether a client kept its promises.
//! It promises that the log is true: every request and every item that reached it is in there, and
//! a limit is judged on the instant at which the request's head arrived. It keeps everything in
//! memory and leaves durability, tenants and TLS to real shops.
//!
//! A request's way through the files: `listener` → `gate` and `door` (`limits`, `faults`, `calls`)
//! → `auth` → `single` or `batch` → `attempt` (`body`) → `store` (`idempotency`, `catalogue`,
//! `writes`). `report` and `control` say what happened.
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

mod attempt;
mod auth;
mod batch;
mod body;
mod calls;
mod catalogue;
mod clock;
mod control;
mod digest;
mod door;
mod faults;
mod floor;
mod gate;
mod idempotency;
mod limits;
mod listener;
mod object;
mod refusal;
mod report;
mod scenario;
mod server;
mod single;
mod store;
mod writes;

pub use digest::canonical_digest;
pub use report::{LimitReport, Report};
pub use scenario::{
    CoolDown, Credentials, Faults, Latency, Limit, Scenario, ScenarioChange, ScenarioError,
};
pub use server::{RunningShop, Shop, StartError};
