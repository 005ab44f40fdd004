//! A scripted destination: HTTP/1.1 with kept connections over a raw socket.

use std::sync::{Arc, Mutex};

use egression_core::time::Mono;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Mono,
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Requests in progress at its arrival, including this one.
    pub(super) under_way: usize,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// What the destination does with a request.
pub(super) enum Reply {
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Closes the connection without a byte.
    Close,
    /// Sends the head and half of the body, and closes.
    Half,
    Silence,
}

impl Reply {
    pub(super) fn ok(body: &str) -> Self {
        Self::Answer(200, Vec::new(), body.as_bytes().to_vec())
    }

    pub(super) fn status(status: u16, body: &str) -> Self {
        Self::Answer(status, Vec::new(), body.as_bytes().to_vec())
    }
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(super) async fn start(
        clock: &Clock,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared {
            clock: clock.clone(),
            seen: Arc::clone(&seen),
            under_way: Arc::default(),
            handler: Arc::new(handler),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { port, seen }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn named_url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

#[derive(Clone)]
struct Shared {
    clock: Clock,
    seen: Arc<Mutex<Vec<Seen>>>,
    under_way: Arc<Mutex<usize>>,
    handler: Handler,
}

async fn serve(mut stream: TcpStream, shared: Shared) {
    let mut buffer = Vec::new();
    while let Some(mut seen) = read_request(&mut stream, &mut buffer, &shared.clock).await {
        {
            let mut under_way = shared.under_way.lock().unwrap();
            *under_way += 1;
            seen.under_way = *under_way;
        }
        shared.seen.lock().unwrap().push(seen.clone());
        // Lets others in, so that requests at once can be seen as such.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let reply = (shared.handler)(&seen);
        *shared.under_way.lock().unwrap() -= 1;
        match reply {
            Reply::Answer(status, headers, body) => {
                let mut head = format!(
                    "HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n",
                    body.len()
                );
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let _ = stream.write_all(&body).await;
            }
            Reply::Close => return,
            Reply::Half => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
                    .await
                    .unwrap();
                return;
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, clock: &Clock) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let at = clock.mono();
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let line = lines.next().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|l| {
            l.split_once(':')
                .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
                .unwrap()
        })
        .collect();
    let length = headers
        .iter()
        .find(|(n, _)| n == "content-length")
        .map_or(0, |(_, v)| v.parse::<usize>().unwrap());
    while buffer.len() < end + 4 + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(buffer[end + 4..end + 4 + length].to_vec()).unwrap();
    buffer.drain(..end + 4 + length);
    Some(Seen {
        at,
        line,
        headers,
        body,
        under_way: 0,
    })
}
