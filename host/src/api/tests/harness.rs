//! The API on a real store, documents, gate and runtime. The dispatcher has no loop, so nothing is
//! sent.

pub use std::path::Path;
pub use std::sync::Arc;

pub use axum::Router;
pub use axum::body::Body;
pub use bytes::Bytes;
pub use egression_core::domain::ids::{ExecutionId, ExecutionSeq, JobSeq};
pub use egression_core::domain::problem::Problem;
pub use egression_core::domain::state::{FailureCode, JobState, State};
pub use egression_core::time::Wall;
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

/// An API with its own store.
pub struct Host {
    pub router: Router,
    pub state: ApiState,
    pub admin: String,
    pub woken: Woken,
    pub ready: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    /// The problem's code, after the checks that hold for every problem.
    pub fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{problem}"
        );
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        for field in ["type", "title", "detail", "code", "trace_id"] {
            assert!(
                problem[field].is_string(),
                "{field} is missing in {problem}"
            );
        }
        assert_eq!(
            problem["trace_id"],
            self.headers["trace-id"].to_str().unwrap()
        );
        problem["code"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Host {
    pub async fn start() -> Self {
        Self::with(ApiSettings {
            sync_wait_ms: 0,
            ..ApiSettings::default()
        })
        .await
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
            configuration
                .put(document, ManagedBy::Api, None)
                .await
                .unwrap();
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

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// With the admin key, a JSON body if there is one, and these headers.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        self.call_as(&self.admin, method, path, headers, body).await
    }

    pub async fn call_as(
        &self,
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {key}"));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(
            request
                .body(body.map_or_else(Body::empty, |b| Body::from(b.to_string())))
                .unwrap(),
        )
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &[], Some(body)).await
    }

    /// A body of any kind.
    pub async fn raw(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header("authorization", format!("Bearer {}", self.admin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn executions(&self) -> usize {
        self.get("/v1/executions").await.json()["items"]
            .as_array()
            .unwrap()
            .len()
    }

    /// Ends a waiting job as rejected, as the dispatcher would.
    pub async fn reject(&self, job: JobSeq) {
        reject(&self.state.store, job).await;
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
    let bound = subscription.map(|name| {
        state
            .configuration
            .catalogue()
            .subscription(name)
            .unwrap()
            .id
    });
    let key = auth::new_key().unwrap();
    state
        .store
        .put_key(new_row(state.clock.wall(), role, bound, None), key.hash)
        .await
        .unwrap();
    key.text.expose_secret().to_owned()
}

/// Two tenants, a source, two channels.
pub fn documents() -> Vec<Document> {
    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }
    let connection = |channel: &str, subscription: &str| {
        Document::Connection(read(
            json!({"channel": channel, "subscription": subscription,
                "settings": {"base_url": "https://shop.example"}}),
        ))
    };
    vec![
        Document::Subscription(read(json!({"name": "acme"}))),
        Document::Subscription(read(json!({"name": "other"}))),
        Document::Source(read(json!({"name": "pim", "kind": "http",
                "object_url": "https://pim.example/objects/{type}/{id}"}))),
        Document::Channel(read(
            json!({"name": "shop-de", "connector": "sandbox", "belts": [["brand"], ["product"]]}),
        )),
        Document::Channel(read(json!({"name": "shop-fr", "connector": "sandbox"}))),
        connection("shop-de", "acme"),
        connection("shop-fr", "acme"),
        connection("shop-fr", "other"),
    ]
}

pub fn job(id: &str) -> Value {
    json!({"subscription": "acme", "source": "pim", "channels": ["shop-de"], "action": "upsert",
        "object_type": "product", "object_ids": [id]})
}

/// The same without what `defaults` gives.
pub fn line(id: &str) -> Value {
    json!({"object_ids": [id]})
}

pub fn defaults() -> Value {
    json!({"subscription": "acme", "source": "pim", "channels": ["shop-de"], "action": "upsert",
        "object_type": "product"})
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
