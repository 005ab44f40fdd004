//! Kept connections that the destination closes: the write after that goes out once, or not at all,
//! and the gate knows which.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::server::{Reply, Server};
use super::*;
use crate::gate::exchange::SendError;

/// Races between a close and the next write.
const RACES: usize = 300;

#[tokio::test]
async fn write_on_a_closing_kept_connection_is_not_repeated() {
    let house = House::new().await;
    let server = Server::start(&house.clock, |seen| {
        if seen.line.starts_with("POST") {
            Reply::Close
        } else {
            Reply::ok("")
        }
    })
    .await;
    let gate = house.gate(vec![destination(&[&server.url("")])]).await;
    // The connection is kept by the gate, not by the call.
    open(&gate, OWNER)
        .send(get(&server.url("/first")))
        .await
        .unwrap();
    let call = open(&gate, OWNER);
    let result = call.send(post(&server.url("/second"), "x")).await;
    assert!(
        matches!(result, Err(SendError::SentWithoutAnswer(_))),
        "{result:?}"
    );
    let evidence = call.evidence();
    assert!(evidence.write_left && evidence.answer_lost);
    // A repeat would have come before this one is answered.
    open(&gate, OWNER)
        .send(get(&server.url("/third")))
        .await
        .unwrap();
    let lines: Vec<String> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /first HTTP/1.1",
            "POST /second HTTP/1.1",
            "GET /third HTTP/1.1"
        ]
    );
}

/// Answers the first request of each connection and closes it when told to, or answers a second
/// one.
struct Closer {
    port: u16,
    close: Arc<Notify>,
    /// How often each path was seen, whole or in part.
    seen: Arc<Mutex<HashMap<String, usize>>>,
}

impl Closer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (close, seen) = (
            Arc::new(Notify::new()),
            Arc::<Mutex<HashMap<String, usize>>>::default(),
        );
        let (closing, seeing) = (Arc::clone(&close), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&closing), Arc::clone(&seeing)));
            }
        });
        Self { port, close, seen }
    }

    fn seen(&self, path: &str) -> usize {
        self.seen.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

async fn serve(
    mut stream: TcpStream,
    close: Arc<Notify>,
    seen: Arc<Mutex<HashMap<String, usize>>>,
) {
    loop {
        let mut head = vec![0; 4096];
        let read = tokio::select! {
            read = stream.read(&mut head) => read.unwrap_or(0),
            () = close.notified() => return,
        };
        if read == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&head[..read]).into_owned();
        // The head of so small a request comes in one piece; its body may come after.
        let Some(path) = text.split(' ').nth(1) else {
            return;
        };
        if text.contains(" HTTP/1.1\r\n") {
            *seen.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        }
        if !text.contains("\r\n\r\nbody")
            && text.starts_with("POST")
            && stream.read(&mut head).await.unwrap_or(0) == 0
        {
            return;
        }
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .is_err()
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn race_of_close_and_write_is_reported_correctly() {
    let house = House::new().await;
    let server = Closer::start().await;
    let base = format!("http://127.0.0.1:{}", server.port);
    let gate = house.gate(vec![destination(&[&base])]).await;
    for race in 0..RACES {
        // A read may meet the close of the race before; there is a kept connection when one was
        // answered.
        while open(&gate, OWNER)
            .send(get(&format!("{base}/before/{race}")))
            .await
            .is_err()
        {}
        let path = format!("/write/{race}");
        let call = open(&gate, OWNER);
        let sending = {
            let (call, request) = (call.clone(), post(&format!("{base}{path}"), "body"));
            tokio::spawn(async move { call.send(request).await })
        };
        // The close comes a little earlier or later each time.
        for _ in 0..race % 40 {
            tokio::task::yield_now().await;
        }
        server.close.notify_waiters();
        let result = sending.await.unwrap();
        let (evidence, seen) = (call.evidence(), server.seen(&path));
        match &result {
            Ok(_) => assert_eq!(
                (seen, evidence.write_left, evidence.answer_lost),
                (1, true, false),
                "{path}"
            ),
            Err(SendError::SentWithoutAnswer(_)) => {
                assert!(
                    seen <= 1 && evidence.write_left && evidence.answer_lost,
                    "{path}: seen {seen} times, {evidence:?}"
                );
            }
            Err(SendError::NeverSent(_)) => {
                assert_eq!((seen, evidence.write_left), (0, false), "{path}")
            }
            Err(other) => panic!("{path}: {other:?}"),
        }
    }
}
