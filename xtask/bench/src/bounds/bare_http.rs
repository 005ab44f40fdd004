//! A bare loop of POSTs: the client library that the gate uses, without anything of the product.

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Client;

use crate::clock::own_cpu_seconds;
use crate::load::PAYLOAD_BYTES;

const REQUESTS: usize = 20_000;
/// As many as the host sends at once to one destination by default.
const AT_ONCE: usize = 32;

/// Requests per CPU second of this process, each with a body of this many payloads.
pub(crate) async fn requests_per_cpu_second(url: &str, payloads: usize) -> Result<f64> {
    let client = Client::builder().no_proxy().build()?;
    let body = Bytes::from(vec![b'x'; PAYLOAD_BYTES * payloads]);
    let requests = (REQUESTS / payloads).max(1_000);
    let began = own_cpu_seconds();
    stream::iter(0..requests)
        .map(|number| post(&client, format!("{url}/bare{number}"), body.clone()))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(requests as f64 / (own_cpu_seconds() - began))
}

async fn post(client: &Client, url: String, body: Bytes) -> Result<()> {
    let answer = client.post(url).body(body).send().await?;
    ensure!(
        answer.status().is_success(),
        "the sink answered {}",
        answer.status()
    );
    answer.bytes().await?;
    Ok(())
}
