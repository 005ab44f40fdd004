//! A name server with scripted answers (RFC 1035).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// What a name has: addresses, nothing, or no answer at all.
#[derive(Clone)]
pub(super) enum Has {
    Addresses(Vec<Ipv4Addr>),
    NoName,
    Silence,
}

pub(super) struct Names {
    pub(super) at: SocketAddr,
    has: Arc<Mutex<Has>>,
}

impl Names {
    pub(super) async fn start(has: Has) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let has = Arc::new(Mutex::new(has));
        let shared = Arc::clone(&has);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let has = shared.lock().unwrap().clone();
                if let Some(answer) = answer(&buffer[..length], &has) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Self { at, has }
    }

    pub(super) fn set(&self, has: Has) {
        *self.has.lock().unwrap() = has;
    }
}

/// Every name has the same; other types than A have no records.
fn answer(query: &[u8], has: &Has) -> Option<Vec<u8>> {
    let mut end = 12;
    while query[end] != 0 {
        end += usize::from(query[end]) + 1;
    }
    let question = &query[12..end + 5];
    let is_a = query[end + 1..end + 3] == [0, 1];
    let (code, addresses) = match has {
        Has::Addresses(addresses) if is_a => (0, addresses.clone()),
        Has::Addresses(_) => (0, Vec::new()),
        Has::NoName => (3, Vec::new()),
        Has::Silence => return None,
    };
    let mut answer = query[..2].to_vec();
    answer.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::try_from(addresses.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(question);
    for address in addresses {
        // A pointer to the question's name, type A, class IN, an hour, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}
