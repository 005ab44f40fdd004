//! A name server that answers every name with scripted addresses (RFC 1035).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// A running name server. Dropping it stops it.
pub struct NameServer {
    address: SocketAddr,
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
    server: JoinHandle<()>,
}

impl NameServer {
    pub async fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let addresses: Arc<Mutex<Vec<Ipv4Addr>>> = Arc::default();
        let shared = Arc::clone(&addresses);
        let server = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = answer(&buffer[..length], &shared.lock().unwrap());
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Ok(Self {
            address,
            addresses,
            server,
        })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives every name these addresses.
    pub fn answer_with(&self, addresses: &[&str]) -> Result<()> {
        *self.addresses.lock().unwrap() = addresses
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        Ok(())
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// It has only A records, with a TTL of an hour.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    const TYPE_A: [u8; 2] = [0, 1];
    let mut end = 12;
    while query[end] != 0 {
        end += usize::from(query[end]) + 1;
    }
    let addresses = if query[end + 1..end + 3] == TYPE_A {
        addresses
    } else {
        &[]
    };
    let mut answer = query[..2].to_vec();
    answer.extend([
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(addresses.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&query[12..end + 5]);
    for address in addresses {
        // A pointer to the question's name, type A, class IN, an hour, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}
