//! TLS and HTTP/2: who is believed to be the destination, and what a lost answer looks like there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::Version;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::certificates::Certificate;
use super::names::{Has, Names};
use super::*;
use crate::gate::exchange::SendError;

const HOST: &str = "shop.example";

type Seen = Arc<Mutex<Vec<(Version, String)>>>;

/// A destination behind TLS, with what it was asked.
struct Secured {
    port: u16,
    seen: Seen,
}

impl Secured {
    /// `protocols`: what it offers by ALPN.
    async fn start(certificate: &Certificate, protocols: &[&str]) -> Self {
        let chain = vec![CertificateDer::from(certificate.der.clone())];
        let key = PrivateKeyDer::try_from(certificate.private_key.clone()).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let listener = Handshakes {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { port, seen }
    }

    fn url(&self, path: &str) -> String {
        self.url_of(HOST, path)
    }

    fn url_of(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    fn seen(&self) -> Vec<(Version, String)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(seen): State<Seen>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    seen.lock().unwrap().push((request.version(), path.clone()));
    match path.as_str() {
        "/silence" => std::future::pending().await,
        // The head and a part, and then the stream is reset.
        "/half" => Response::new(Body::from_stream(stream::iter([
            Ok("half"),
            Err(std::io::Error::other("on purpose")),
        ]))),
        _ => Response::new(Body::from("taken")),
    }
}

/// Connections whose handshake succeeded; the others never get further.
struct Handshakes {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Handshakes {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A gate where every name resolves to this machine, and that trusts this authority in addition to
/// the system's.
async fn house_of(authority: Option<&Certificate>) -> (House, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut house = House::new().await;
    house.settings.nameservers = vec![
        Names::start(Has::Addresses(vec![Ipv4Addr::LOCALHOST]))
            .await
            .at,
    ];
    if let Some(authority) = authority {
        let file = directory.path().join("authorities.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        house.settings.extra_ca_file = Some(file);
    }
    (house, directory)
}

#[tokio::test]
async fn untrusted_certificate_is_refused_unsent() {
    let (authority, stranger) = (
        Certificate::authority("ours"),
        Certificate::authority("theirs"),
    );
    let (house, _directory) = house_of(Some(&authority)).await;
    for certificate in [
        Certificate::server(HOST, None),
        Certificate::server(HOST, Some(&stranger)),
    ] {
        let server = Secured::start(&certificate, &["h2", "http/1.1"]).await;
        let call = house.call(destination(&[&server.url("")])).await;
        let result = call.send(post(&server.url("/"), "{}")).await;
        assert!(
            matches!(&result, Err(SendError::NeverSent(why)) if why.contains("certificate")),
            "{result:?}"
        );
        let evidence = call.evidence();
        assert!(!evidence.anything_left && !evidence.write_left && !evidence.answer_lost);
        assert_eq!(server.seen(), Vec::new());
    }
}

#[tokio::test]
async fn configured_authority_is_trusted() {
    let authority = Certificate::authority("ours");
    let server = Secured::start(&Certificate::server(HOST, Some(&authority)), &["http/1.1"]).await;
    let (house, _directory) = house_of(None).await;
    let call = house.call(destination(&[&server.url("")])).await;
    let result = call.send(get(&server.url("/before"))).await;
    assert!(matches!(result, Err(SendError::NeverSent(_))), "{result:?}");
    let (house, _directory) = house_of(Some(&authority)).await;
    let call = house.call(destination(&[&server.url("")])).await;
    assert_eq!(
        call.send(get(&server.url("/after"))).await.unwrap().body,
        "taken"
    );
    assert_eq!(server.seen(), [(Version::HTTP_11, "/after".to_owned())]);
}

#[tokio::test]
async fn certificate_name_is_verified() {
    let authority = Certificate::authority("ours");
    let server = Secured::start(&Certificate::server(HOST, Some(&authority)), &["h2"]).await;
    let (house, _directory) = house_of(Some(&authority)).await;
    let (other, literal) = (
        server.url_of("other.example", "/"),
        server.url_of("127.0.0.1", "/"),
    );
    let call = house
        .call(destination(&[&server.url(""), &other, &literal]))
        .await;
    for url in [&other, &literal] {
        let result = call.send(post(url, "{}")).await;
        assert!(
            matches!(result, Err(SendError::NeverSent(_))),
            "{url}: {result:?}"
        );
    }
    assert!(!call.evidence().anything_left);
    assert_eq!(server.seen(), Vec::new());
    call.send(post(&server.url("/"), "{}")).await.unwrap();
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let authority = Certificate::authority("ours");
    let (house, _directory) = house_of(Some(&authority)).await;
    let server = Secured::start(
        &Certificate::server(HOST, Some(&authority)),
        &["h2", "http/1.1"],
    )
    .await;
    let call = house.call(destination(&[&server.url("")])).await;
    let answers = call
        .send_all(
            (0..20)
                .map(|n| post(&server.url(&format!("/{n}")), "{}"))
                .collect(),
        )
        .await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)),
        "{answers:?}"
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 20);
    assert!(
        seen.iter().all(|(version, _)| *version == Version::HTTP_2),
        "{seen:?}"
    );
    let evidence = call.evidence();
    assert!(evidence.write_left && !evidence.answer_lost);
}

#[tokio::test]
async fn over_http_2_an_answer_that_does_not_come_whole_is_lost_and_nothing_is_repeated() {
    let authority = Certificate::authority("ours");
    let (house, _directory) = house_of(Some(&authority)).await;
    let server = Secured::start(&Certificate::server(HOST, Some(&authority)), &["h2"]).await;
    for path in ["/half", "/silence"] {
        let call = house.call(destination(&[&server.url("")])).await;
        let mut request = post(&server.url(path), "{}");
        request.timeout_ms = (path == "/silence").then_some(300);
        let result = call.send(request).await;
        assert!(
            matches!(result, Err(SendError::SentWithoutAnswer(_))),
            "{path}: {result:?}"
        );
        let evidence = call.evidence();
        assert!(evidence.write_left && evidence.answer_lost, "{path}");
        assert_eq!(
            server
                .seen()
                .iter()
                .filter(|(_, seen)| seen == path)
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn unusable_ca_file_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut house = House::new().await;
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("missing.pem", None),
        ("empty.pem", Some("")),
        ("garbled.pem", Some(garbled)),
    ] {
        let file = directory.path().join(name);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        house.settings.extra_ca_file = Some(file);
        let refused = Gate::start(
            house.settings.clone(),
            house.store.clone(),
            house.vault(),
            house.clock.clone(),
        )
        .await
        .unwrap_err();
        assert!(
            refused.to_string().starts_with("`gate.extra_ca_file` ("),
            "{refused}"
        );
        assert!(refused.to_string().contains(name), "{refused}");
    }
}
