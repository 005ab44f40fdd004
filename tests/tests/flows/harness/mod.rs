//! The parts that the flows share: a host with its shop, and the destinations and sources around
//! it.

pub mod catalogue;
pub mod delaying_proxy;
pub mod faulty_source;
mod harness_host;
pub mod recording_destination;
mod setup;

pub use harness_host::{
    Harness, PATIENCE, category, category_job, expect_sum, instant, subcategory, waiting,
};
pub use setup::{CHANNEL, FAST_RETRY, SOURCE_TOKEN, Setup, TENANT, connection, source};
