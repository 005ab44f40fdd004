//! A host's API on a real store and real documents. The runtime and the scheduler are fakes.

pub use std::sync::{Arc, Mutex};

pub use async_trait::async_trait;
pub use axum::Router;
pub use axum::body::Body;
pub use bytes::Bytes;
pub use egression_core::domain::ids::{ConnectionId, ExecutionId, ExecutionSeq, JobSeq};
pub use egression_core::domain::problem::Problem;
pub use egression_core::domain::state::JobState;
pub use egression_core::domain::waiting::WaitingKind;
pub use egression_core::time::Wall;
pub use http::{HeaderMap, Request, StatusCode};
pub use http_body_util::BodyExt as _;
pub use secrecy::ExposeSecret as _;
pub use serde_json::{Value, json};
pub use tokio::sync::{mpsc, watch};
pub use tower::ServiceExt as _;

pub use crate::api::admin::keys::new_row;
pub use crate::api::middleware::auth::{self, Role};
pub use crate::api::state::Changed as ChangedConnector;
pub use crate::api::{
    ApiSettings, ApiState, ConnectorError, Connectors, Doors, Scheduling, router,
};
pub use crate::clock::Clock;
pub use crate::delivery::Probe;
pub use crate::dispatch::WaitingGroup;
pub use crate::documents::configuration::{Configuration, Document};
pub use crate::runtime::description::Description;
pub use crate::store::Store;
pub use crate::store::connectors::ConnectorRow;
pub use crate::store::documents::ManagedBy;
pub use crate::store::rows::{
    Changes, ExecutionStatus, IdMapChange, JobRow, Settlement, Transition,
};

pub const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
pub const JSON: (&str, &str) = ("content-type", "application/json");

/// An API with its own store.
pub struct Host {
    pub router: Router,
    pub state: ApiState,
    pub admin: String,
    pub woken: mpsc::UnboundedReceiver<ExecutionSeq>,
    pub acts: Arc<Mutex<Vec<String>>>,
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
        let configuration = Configuration::open(
            store.clone(),
            Vault::new(
                &MasterKey::from_bytes([0; 32]),
                store.clone(),
                clock.clone(),
            ),
            Arc::new(|_: &str| None),
        )
        .await
        .unwrap();
        for document in documents() {
            configuration
                .put(document, ManagedBy::Api, None)
                .await
                .unwrap();
        }
        let (wake, woken) = mpsc::unbounded_channel();
        let acts = Arc::new(Mutex::new(Vec::new()));
        let doors = Doors {
            configuration: Arc::new(configuration),
            connectors: Arc::new(Sandbox {
                description: Arc::new(crate::api::intake::validate::tests::description()),
                store: store.clone(),
            }),
            scheduling: Arc::new(Recorder {
                wake,
                acts: Arc::clone(&acts),
            }),
        };
        let (ready, isready) = watch::channel(true);
        let state = ApiState::new(store, clock, settings, doors, None, isready);
        let router = router(state.clone(), true);
        let admin = key(&state, Role::Admin, None).await;
        Self {
            router,
            state,
            admin,
            woken,
            acts,
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
        state: JobState::Rejected,
        code: Some("source.not_found".into()),
        problem: Some(Problem::new(
            "source.not_found",
            "the source does not know it",
        )),
        changed: None,
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
            json!({"channel": channel, "subscription": subscription, "settings": {"base_url": "https://shop.example"}}),
        ))
    };
    vec![
        Document::Subscription(read(json!({"name": "acme"}))),
        Document::Subscription(read(json!({"name": "other"}))),
        Document::Source(read(
            json!({"name": "pim", "kind": "http", "object_url": "https://pim.example/objects/{type}/{id}"}),
        )),
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
    json!({"subscription": "acme", "source": "pim", "channels": ["shop-de"], "action": "upsert", "object_type": "product", "object_ids": [id]})
}

/// The same without what `defaults` gives.
pub fn line(id: &str) -> Value {
    json!({"object_ids": [id]})
}

pub fn defaults() -> Value {
    json!({"subscription": "acme", "source": "pim", "channels": ["shop-de"], "action": "upsert", "object_type": "product"})
}

/// Takes any bytes that begin as WebAssembly does.
pub struct Sandbox {
    description: Arc<Description>,
    store: Store,
}

#[async_trait]
impl Connectors for Sandbox {
    async fn install(
        &self,
        component: Bytes,
        activate: bool,
    ) -> Result<ChangedConnector, ConnectorError> {
        if !component.starts_with(b"\0asm") {
            return Err(ConnectorError::Refused {
                code: "not_a_component".into(),
                detail: "this is no WebAssembly".into(),
            });
        }
        let description = serde_json::to_string(&*self.description).unwrap();
        let row = ConnectorRow {
            name: "sandbox".into(),
            version: "0.1.0".into(),
            digest: "00".repeat(32),
            description,
            size_bytes: component.len() as u64,
            active: activate,
            installed_at: Wall(0),
        };
        self.store.put_connector(row.clone(), activate).await?;
        Ok(ChangedConnector {
            row,
            differences: Vec::new(),
        })
    }
    async fn activate(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Vec<String>>, ConnectorError> {
        Ok(self
            .store
            .activate_connector(name, version)
            .await?
            .then(Vec::new))
    }
    fn description(&self, name: &str, _: Option<&str>) -> Option<Arc<Description>> {
        (name == "sandbox").then(|| Arc::clone(&self.description))
    }
}

/// Remembers what the scheduler would have been told.
pub struct Recorder {
    wake: mpsc::UnboundedSender<ExecutionSeq>,
    acts: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Scheduling for Recorder {
    fn limit_used(&self, _connection: ConnectionId) -> Option<crate::gate::Usage> {
        None
    }

    fn wake(&self, execution: ExecutionSeq) {
        self.wake.send(execution).ok();
    }
    fn changed(&self, changes: Changes) {
        self.acts
            .lock()
            .unwrap()
            .push(format!("changed {}", changes.gone.len()));
    }
    fn paused(&self, _: ExecutionSeq, paused: bool) {
        self.acts.lock().unwrap().push(format!("paused {paused}"));
    }
    fn waiting(&self, status: &ExecutionStatus) -> Vec<(ConnectionId, Vec<WaitingGroup>)> {
        let group = |jobs| WaitingGroup {
            kind: WaitingKind::Turn,
            key: None,
            until: None,
            jobs,
        };
        status
            .progress
            .iter()
            .filter(|row| row.connection.0 != 0)
            .map(|row| (row.connection, vec![group(row.belt.states[0])]))
            .collect()
    }
    async fn check(&self, connection: ConnectionId) -> Option<Probe> {
        self.acts
            .lock()
            .unwrap()
            .push(format!("check {connection}"));
        None
    }
    fn job_waiting(&self, _: &JobRow, _: u32) -> Option<WaitingGroup> {
        None
    }
}
