//! A way to a destination that takes a random time: a TCP proxy that holds each piece of a request
//! back. Answers pass at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running proxy. Dropping it stops it.
pub struct DelayingProxy {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl DelayingProxy {
    /// A way to this address that takes up to `max_ms`.
    pub async fn start(to: SocketAddr, max_ms: u64, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut seeds = StdRng::seed_from_u64(seed);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rng = StdRng::seed_from_u64(seeds.random());
                // A connection that breaks is the client's and the destination's affair.
                tokio::spawn(async move { pass(client, to, max_ms, rng).await.unwrap_or(()) });
            }
        });
        Ok(Self { address, server })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for DelayingProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(client: TcpStream, to: SocketAddr, max_ms: u64, mut rng: StdRng) -> Result<()> {
    let destination = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    destination.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_destination, mut to_destination) = destination.into_split();
    let answers = tokio::spawn(async move { copy(&mut from_destination, &mut to_client).await });
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = from_client.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        // This delay is the subject of the test, so it is real time.
        tokio::time::sleep(Duration::from_micros(rng.random_range(0..=max_ms * 1000))).await;
        to_destination.write_all(&piece[..read]).await?;
    }
    to_destination.shutdown().await?;
    answers.await??;
    Ok(())
}
