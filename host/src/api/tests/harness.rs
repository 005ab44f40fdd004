//! The API on a real store, documents, gate and runtime. The dispatcher has no loop, so nothing is
//! sent.

pub use std::path::Path;
pub use std::sync::Arc;

pub use axum::Router;
pub use axum::body::Body;
pub use bytes::Bytes;
pub use egression_core::domain::ids::{ExecutionId, ExecutionSeq, JobSeq, SubscriptionId};
pub use egression_core::domain::problem::Problem;
pub use egression_core::domain::state::{FailureCode, JobState, State};
pub use egression_core::time::Wall;
pub use futures_util::future::BoxFuture;
pub use http::{HeaderMap, Request, StatusCode};
pub use http_body_util::BodyExt as _;
pub use secrecy::ExposeSecret as _;
pub use serde_json::{Value, json};
pub use tokio::sync::{mpsc, watch};
pub use tower::ServiceExt as _;

pub use crate::api::admin::keys::new_row;
pub use crate::api::middleware::auth::{self, Role};
pub use crate::api::{ApiSettings, ApiState, HostParts, router};
pub use crate::clock::Clock;
pub use crate::dispatch::{Dispatcher, Message};
pub use crate::documents::configuration::{Configuration, Document};
pub use crate::gate::{Gate, GateSettings};
pub use crate::runtime::{CacheKey, Registry, Runtime, RuntimeSettings};
pub use crate::store::Store;
pub use crate::store::connectors::ConnectorRow;
pub use crate::store::documents::ManagedBy;
pub use crate::store::rows::{IdMapChange, Settlement, Transition};
pub use crate::vault::{MasterKey, Vault};

pub const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
pub const JSON: (&str, &str) = ("content-type", "application/json");
pub const TOML: (&str, &str) = ("content-type", "application/toml");
pub const WASM: (&str, &str) = ("content-type", "application/wasm");

/// An API with its own store.
pub struct Host {
    pub router: Router,
    pub state: ApiState,
    pub admin: String,
    pub woken: Woken,
    pub ready: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

pub struct Answer {
    /// Method and path of the request.
    asked: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.asked, self.status, self.text)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The problem's code, after the checks that hold for every problem.
    #[track_caller]
    pub fn problem(&self) -> String {
        let problem = self.json();
        self.has_header("content-type", "application/problem+json")
            .shows("/status", self.status.as_u16())
            .shows("/trace_id", self.header("trace-id"));
        for field in ["type", "title", "detail", "code", "trace_id"] {
            assert!(problem[field].is_string(), "no {field}: {self:?}");
        }
        problem["code"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Checks a problem and its code.
    #[track_caller]
    pub fn has_code(&self, code: &str) -> &Self {
        assert_eq!(self.problem(), code, "{self:?}");
        self
    }

    /// Checks a header; `""`: it is absent.
    #[track_caller]
    pub fn has_header(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.header(name), value, "{name}: {self:?}");
        self
    }

    /// Checks that the detail contains this name of a bound.
    #[track_caller]
    pub fn names(&self, bound: &str) -> &Self {
        let detail = self.json()["detail"].to_string();
        assert!(detail.contains(bound), "{bound}: {self:?}");
        self
    }

    /// Checks the value at a JSON pointer of the body.
    #[track_caller]
    pub fn shows(&self, pointer: &str, value: impl Into<Value>) -> &Self {
        let shown = self.json().pointer(pointer).cloned();
        assert_eq!(shown, Some(value.into()), "{pointer}: {self:?}");
        self
    }

    /// The items of a list.
    pub fn items(&self) -> Vec<Value> {
        self.json()["items"].as_array().unwrap().clone()
    }

    /// One field of each item.
    pub fn each(&self, field: &str) -> Vec<Value> {
        self.items()
            .iter()
            .map(|item| item[field].clone())
            .collect()
    }
}

/// A request, sent when it is awaited.
pub struct Call {
    router: Router,
    key: String,
    request: http::request::Builder,
    body: Body,
}

impl Call {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With another key than the admin's.
    pub fn by(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.with(JSON.0, JSON.1).body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> Self::IntoFuture {
        let authorization = format!("Bearer {}", self.key);
        let request = self.request.header("authorization", authorization);
        Box::pin(send(self.router, request.body(self.body).unwrap()))
    }
}

impl Host {
    pub async fn start() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: ApiSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let store = Store::open(dir.path(), clock.clone()).await.unwrap();
        // Its component is missing: it is listed and described, but cannot be called.
        store.put_connector(sandbox(), true).await.unwrap();
        let master = MasterKey::from_bytes([0; 32]);
        let vault = Vault::new(&master, store.clone(), clock.clone());
        let environment = Arc::new(|_: &str| None);
        let configuration = Configuration::open(store.clone(), vault.clone(), environment)
            .await
            .unwrap();
        for document in documents() {
            let put = configuration.put(document, ManagedBy::Api, None);
            put.await.unwrap();
        }
        let (dispatcher, messages) = Dispatcher::detached();
        let parts = HostParts {
            data_dir: dir.path().to_owned(),
            configuration: Arc::new(configuration),
            registry: Arc::new(registry(dir.path(), &store, &clock).await),
            connectors_changed: Arc::default(),
            dispatcher,
            gate: Gate::start(GateSettings::default(), store.clone(), vault, clock.clone())
                .await
                .unwrap(),
        };
        let (ready, isready) = watch::channel(true);
        let state = ApiState::new(store, clock, settings, parts, None, isready);
        let router = router(state.clone(), true);
        let admin = key(&state, Role::Admin, None).await;
        Self {
            router,
            state,
            admin,
            woken: Woken(messages),
            ready,
            _dir: dir,
        }
    }

    /// A request without a key.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(self.router.clone(), request).await
    }

    pub fn request(&self, method: &str, path: &str) -> Call {
        Call {
            router: self.router.clone(),
            key: self.admin.clone(),
            request: Request::builder().method(method).uri(path),
            body: Body::empty(),
        }
    }

    pub fn get(&self, path: &str) -> Call {
        self.request("GET", path)
    }

    pub fn delete(&self, path: &str) -> Call {
        self.request("DELETE", path)
    }

    /// `POST …:verb`, without a body.
    pub fn act(&self, path: &str) -> Call {
        self.request("POST", path)
    }

    pub fn post(&self, path: &str, body: Value) -> Call {
        self.request("POST", path).json(&body)
    }

    pub fn put(&self, path: &str, body: Value) -> Call {
        self.request("PUT", path).json(&body)
    }

    /// A body of any kind.
    pub fn raw(&self, path: &str, kind: (&str, &str), body: impl Into<Body>) -> Call {
        self.act(path).with(kind.0, kind.1).body(body)
    }

    pub async fn executions(&self) -> usize {
        self.get("/v1/executions").await.items().len()
    }

    /// Writes a document behind the back of the API.
    pub async fn store(&self, document: Document, managed_by: ManagedBy) {
        let configuration = &self.state.configuration;
        configuration.put(document, managed_by, None).await.unwrap();
    }

    /// Ends a waiting job as rejected, as the dispatcher would.
    pub async fn reject(&self, job: JobSeq) {
        reject(&self.state.store, job).await;
    }
}

async fn send(router: Router, request: Request<Body>) -> Answer {
    let asked = format!("{} {}", request.method(), request.uri());
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        asked,
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

pub async fn reject(store: &Store, job: JobSeq) {
    let to = Transition::Ended {
        end: State::Rejected {
            problem: Problem::new("source.not_found", "the source does not know it"),
        },
        block_key: None,
    };
    settle(store, job, to).await;
}

pub async fn settle(store: &Store, job: JobSeq, to: Transition) {
    let settlement = Settlement {
        job,
        call: None,
        to,
        attempts: 1,
        conflicts: 0,
        id_map: IdMapChange::Keep,
        act_as: None,
        delivered_revision: None,
        events: Vec::new(),
    };
    let changes = store.settle(vec![settlement]).await.unwrap();
    assert!(changes.stale.is_empty());
}

pub async fn key(state: &ApiState, role: Role, subscription: Option<&str>) -> String {
    let bound = subscription.map(|name| subscription_id(state, name));
    let key = auth::new_key().unwrap();
    let row = new_row(state.clock.wall(), role, bound, None);
    state.store.put_key(row, key.hash).await.unwrap();
    key.text.expose_secret().to_owned()
}

pub fn subscription_id(state: &ApiState, name: &str) -> SubscriptionId {
    let catalogue = state.configuration.catalogue();
    catalogue.subscription(name).unwrap().id
}

/// Two tenants; a source and a channel of the first, and a channel that both connect to.
pub fn documents() -> Vec<Document> {
    vec![
        subscription("acme"),
        subscription("other"),
        Document::Source(read(
            json!({"name": "pim", "subscriptions": ["acme"], "kind": "http",
                "object_url": "https://pim.example/objects/{type}/{id}"}),
        )),
        Document::Channel(read(
            json!({"name": "shop-de", "subscriptions": ["acme"], "connector": "sandbox",
                "belts": [["brand"], ["product"]]}),
        )),
        Document::Channel(read(json!({"name": "shop-fr", "connector": "sandbox"}))),
        connection("shop-de", "acme"),
        connection("shop-fr", "acme"),
        connection("shop-fr", "other"),
    ]
}

pub fn subscription(name: &str) -> Document {
    Document::Subscription(read(json!({"name": name})))
}

pub fn connection(channel: &str, subscription: &str) -> Document {
    let settings = json!({"base_url": "https://shop.example"});
    let document = json!({"channel": channel, "subscription": subscription, "settings": settings});
    Document::Connection(read(document))
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Submissions are not waited for.
pub fn settings() -> ApiSettings {
    ApiSettings {
        sync_wait_ms: 0,
        ..ApiSettings::default()
    }
}

pub fn job(id: &str) -> Value {
    let mut job = defaults();
    job["object_ids"] = json!([id]);
    job
}

/// The same without what `defaults` gives.
pub fn line(id: &str) -> Value {
    json!({"object_ids": [id]})
}

pub fn defaults() -> Value {
    json!({"subscription": "acme", "source": "pim", "channels": ["shop-de"], "action": "upsert",
        "object_type": "product"})
}

/// The body of a bulk request.
pub fn bulk(jobs: impl serde::Serialize) -> Value {
    json!({"defaults": defaults(), "jobs": jobs})
}

/// Where an execution is.
pub fn path(execution: &Value) -> String {
    format!("/v1/executions/{}", execution["id"].as_str().unwrap())
}

/// Where a job of an execution is.
pub fn job_path(execution: &Value, index: u32) -> String {
    let id = &execution["id"].as_str().unwrap()["exe_".len()..];
    format!("/v1/jobs/job_{id}{index:05}")
}

/// What the API tells the dispatcher.
pub struct Woken(pub mpsc::Receiver<Message>);

impl Woken {
    /// The next execution that was sealed.
    pub async fn recv(&mut self) -> Option<ExecutionSeq> {
        loop {
            if let Message::Sealed(execution) = self.0.recv().await? {
                return Some(execution);
            }
        }
    }

    /// The pauses and changes since then.
    pub fn acts(&mut self) -> Vec<String> {
        let messages = std::iter::from_fn(|| self.0.try_recv().ok());
        messages
            .filter_map(|message| match message {
                Message::Paused(_, paused) => Some(format!("paused {paused}")),
                Message::Changed(changes) => Some(format!("changed {}", changes.gone.len())),
                _ => None,
            })
            .collect()
    }
}

async fn registry(dir: &Path, store: &Store, clock: &Clock) -> Registry {
    let settings = RuntimeSettings {
        slots: 1,
        workers: 1,
        ..RuntimeSettings::new(dir.join("cache"), CacheKey::default())
    };
    let runtime = Runtime::start(settings, clock.clone()).unwrap();
    Registry::open(runtime, store.clone(), dir).await.unwrap()
}

fn sandbox() -> ConnectorRow {
    let description = crate::api::intake::validate::tests::description();
    ConnectorRow {
        name: "sandbox".into(),
        version: "0.0.1".into(),
        digest: "00".repeat(32),
        description: serde_json::to_string(&description).unwrap(),
        size_bytes: 0,
        active: true,
        installed_at: Wall(0),
    }
}
