//! Refusals with 401 and 403: attributed to the credential or to the item.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::{Harness, Setup, TENANT, category, category_job};

/// A proxy before the shop. It refuses requests with this text in their path with this status, and
/// forwards all others.
struct Guard {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    shop: SocketAddr,
    client: reqwest::Client,
    refuses: Mutex<Option<(&'static str, u16)>>,
}

impl Guard {
    async fn start(shop: SocketAddr, refuses: Option<(&'static str, u16)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            shop,
            client: reqwest::Client::new(),
            refuses: Mutex::new(refuses),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    fn refuse(&self, what: Option<(&'static str, u16)>) {
        *self.shared.refuses.lock().unwrap() = what;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    let refuses = *shared.refuses.lock().unwrap();
    if let Some((_, status)) = refuses.filter(|(text, _)| path.contains(text)) {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    shared
        .forward(request, &path)
        .await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

impl Shared {
    async fn forward(&self, request: Request, path: &str) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        headers.remove("host");
        let url = format!("http://{}{path}", self.shop);
        let body = to_bytes(body, 1 << 20).await?;
        let answer = self
            .client
            .request(parts.method, url)
            .headers(headers)
            .body(body)
            .send()
            .await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.extend(
                answer
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            headers.remove("transfer-encoding");
        }
        Ok(response.body(Body::from(answer.bytes().await?))?)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    /// A token entered by a user.
    Entered,
    /// A token that the host fetches.
    Fetched,
    /// A session of the connector.
    Session,
}

/// A connection through the guard, with one item per call.
async fn harness(
    refuses: Option<(&'static str, u16)>,
    credential: Credential,
) -> Result<(Harness, Guard)> {
    let more = "[[channels]]\nname = \"own\"\nconnector = \"sandbox\"\n\
                retry = { base_ms = 1, max_ms = 5, attempts = 2 }\n"
        .to_owned();
    let server = "[server.dispatch]\nprobe_min_ms = 100\nprobe_max_ms = 100\n".to_owned();
    let harness = Setup {
        more,
        server,
        ..Setup::default()
    }
    .start()
    .await?;
    let guard = Guard::start(harness.shop.addr(), refuses).await?;
    let token_url = format!("http://{}/oauth/token", harness.shop.addr());
    let auth = match credential {
        Credential::Entered => {
            let grant =
                "grant_type=client_credentials&client_id=sandbox&client_secret=sandbox-secret";
            let request = reqwest::Client::new()
                .post(&token_url)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(grant);
            let answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
            json!({"scheme": "bearer", "token": {"value": answer["access_token"]}})
        }
        Credential::Fetched => {
            let secret = json!({"value": "sandbox-secret"});
            json!({
                "scheme": "oauth2_client_credentials", "token_url": token_url,
                "client_id": "sandbox", "client_secret": secret,
            })
        }
        Credential::Session => {
            json!({"scheme": "connector", "secrets": {"api_key": {"value": "sandbox-key"}}})
        }
    };
    let document = json!({
        "subscription": TENANT, "channel": "own", "allow_addresses": ["127.0.0.1/32"], "auth": auth,
        "settings": {
            "base_url": format!("http://{}", guard.address),
            "mode": "single",
            "login": credential == Credential::Session,
        },
    });
    let answer = harness
        .rest
        .request(
            Method::PUT,
            &format!("/v1/channels/own/connections/{TENANT}"),
        )
        .json(&document)
        .send()
        .await?;
    anyhow::ensure!(
        answer.status().is_success(),
        "the connection is refused: {}",
        answer.text().await?
    );
    Ok((harness, guard))
}

fn own(id: &str) -> Value {
    let mut job = category_job(id, &category(id));
    job["channel"] = json!("own");
    job
}

async fn state(harness: &Harness) -> Value {
    let connection: Value = harness
        .rest
        .get(&format!("/v1/channels/own/connections/{TENANT}"))
        .await
        .unwrap();
    connection["status"]["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_401_on_one_object_spares_the_credential() {
    for credential in [
        Credential::Entered,
        Credential::Fetched,
        Credential::Session,
    ] {
        let (harness, _guard) = harness(Some(("cursed", 401)), credential).await.unwrap();
        let job = harness.deliver(own("cursed")).await.unwrap();
        assert_eq!(
            (&job["state"], &job["attempts"]),
            (&json!("failed"), &json!(2)),
            "{credential:?}: {job}"
        );
        assert_eq!(
            harness.deliver(own("blessed")).await.unwrap()["state"],
            "succeeded",
            "{credential:?}"
        );
        assert_eq!(state(&harness).await, "active", "{credential:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_403_parks_only_if_the_check_fails() {
    let (harness, guard) = harness(Some(("", 403)), Credential::Entered).await.unwrap();
    let execution = harness.submit(own("blessed")).await.unwrap();
    let waits = harness.until_waits(&execution, "parked").await.unwrap();
    assert_eq!(waits["attempts"], 0, "{waits}");
    guard.refuse(Some(("cursed", 403)));
    harness.expect_all_succeeded(&execution, 1).await.unwrap();
    let job = harness.deliver(own("cursed")).await.unwrap();
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("rejected"), &json!(1)),
        "{job}"
    );
    assert!(
        harness.stages(&job, "responded").await.unwrap() >= 2,
        "the history has the check"
    );
    assert_eq!(state(&harness).await, "active");
}
