//! The listener over real sockets. Bounds are small, and the tests wait for what the host does: it
//! responds, or closes the connection.

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::accept::RESERVED;
use super::{ConnectionBounds, Routes, serve};
use crate::api::middleware::fallback;
use crate::clock::Clock;

/// Longer than any test; a connection with this timeout stays open.
const NEVER_MS: u64 = 600_000;

struct Site {
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

impl Site {
    async fn start(bounds: ConnectionBounds) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let livez = || Router::new().route("/livez", get(|| async { "alive" }));
        let routes = Routes {
            within_bounds: livez().route("/work", get(|| async { "done" })),
            beyond_bounds: livez().fallback(fallback::too_many_connections),
        };
        let served = tokio::spawn(serve(listener, routes, bounds, Clock::system(), stopped));
        Self {
            address,
            stop,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that the host has accepted and answered.
    async fn connected(&self) -> TcpStream {
        let mut stream = self.connect().await;
        assert!(request(&mut stream, "/work").await.ends_with("done"));
        stream
    }
}

fn bounds(max: u32, max_per_address: u32) -> ConnectionBounds {
    ConnectionBounds {
        max,
        max_per_address,
        head_timeout_ms: NEVER_MS,
        idle_timeout_ms: NEVER_MS,
    }
}

/// Sends a request and reads its response with a body of known length.
async fn request(stream: &mut TcpStream, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    loop {
        if let Some((head, body)) = response.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                return response;
            }
        }
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).await.unwrap();
        assert!(read > 0, "closed after {response:?}");
        response.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

/// Waits until the host closes the connection; returns what it sent before.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut bytes = [0; 1024];
    // A reset closes it as well.
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        sent.extend_from_slice(&bytes[..read]);
    }
    sent
}

#[tokio::test]
async fn connection_without_a_request_is_closed() {
    let site = Site::start(ConnectionBounds {
        head_timeout_ms: 20,
        ..bounds(10, 10)
    })
    .await;
    let mut silent = site.connect().await;
    let mut preface = site.connect().await;
    preface
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM")
        .await
        .unwrap();
    for stream in [&mut silent, &mut preface] {
        assert_eq!(closed(stream).await, b"");
    }
}

#[tokio::test]
async fn connection_with_a_dribbling_head_is_closed() {
    let site = Site::start(ConnectionBounds {
        head_timeout_ms: 20,
        ..bounds(10, 10)
    })
    .await;
    let (mut reader, mut writer) = site.connect().await.into_split();
    let dribble = async {
        writer.write_all(b"GET /work HTTP/1.1\r\n").await?;
        loop {
            // Ends with an error once the host has closed the connection.
            writer.write_all(b"x-more: bytes\r\n").await?;
            tokio::task::yield_now().await;
        }
    };
    let mut answer = Vec::new();
    let (dribbled, _): (std::io::Result<()>, _) =
        tokio::join!(dribble, reader.read_to_end(&mut answer));
    dribbled.unwrap_err();
    assert!(!answer.windows(4).any(|bytes| bytes == b"done"));
}

#[tokio::test]
async fn idle_connection_is_closed_after_its_request() {
    let site = Site::start(ConnectionBounds {
        idle_timeout_ms: 20,
        ..bounds(10, 10)
    })
    .await;
    let mut stream = site.connected().await;
    assert_eq!(closed(&mut stream).await, b"");
}

#[tokio::test]
async fn livez_responds_while_the_bound_is_reached() {
    let site = Site::start(bounds(2, 2)).await;
    let mut held = [site.connected().await, site.connected().await];
    // Silent connections beyond the bound do not use up the reserve.
    let mut silent = Vec::new();
    for _ in 0..RESERVED + 4 {
        silent.push(site.connect().await);
    }
    let mut probe = site.connect().await;
    assert!(request(&mut probe, "/livez").await.ends_with("alive"));
    assert_eq!(closed(&mut probe).await, b"", "one request only");
    assert_eq!(closed(&mut silent[0]).await, b"", "the oldest made room");
    let mut beyond = site.connect().await;
    let refused = request(&mut beyond, "/work").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("too_many_connections") && refused.contains("api.max_connections"));
    for stream in &mut held {
        assert!(request(stream, "/work").await.ends_with("done"));
    }
}

#[tokio::test]
async fn one_address_leaves_connections_for_others() {
    let site = Site::start(bounds(3, 1)).await;
    let _held = site.connected().await;
    let mut same = site.connect().await;
    let refused = request(&mut same, "/work").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(site.address).await.unwrap();
    assert!(request(&mut other, "/work").await.ends_with("done"));
}

#[tokio::test]
async fn closed_connection_frees_its_slot() {
    let site = Site::start(bounds(1, 1)).await;
    let first = site.connected().await;
    drop(first);
    // The host frees the slot when it notices.
    loop {
        let mut next = site.connect().await;
        if request(&mut next, "/work").await.ends_with("done") {
            return;
        }
    }
}

#[tokio::test]
async fn stop_ends_idle_connections() {
    let site = Site::start(bounds(10, 10)).await;
    let mut stream = site.connected().await;
    site.stop.send_replace(true);
    assert_eq!(closed(&mut stream).await, b"");
    site.served.await.unwrap();
}
