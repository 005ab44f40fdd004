//! The runtime with real components and scripted abilities.

mod cache;
mod examples;
mod hostile;
mod inspect;
mod instances;
mod optional;
mod registry;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::action::Action;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

use super::abilities::{Abilities, CredentialError, ObservedLimit, SignRequest};
use super::call::{Call, ConnectionFrame, Item};
use super::settings::CacheKey;
use super::{Connector, Runtime, RuntimeSettings};
use crate::clock::Clock;
use crate::gate::exchange::{OutgoingRequest, Response, SendError};

/// What every test may wait for at most; no test measures time.
const LONG_MS: u64 = 120_000;

/// A component built from `connectors/`.
fn guest(name: &str) -> Bytes {
    built(&format!("connector_{}.wasm", name.replace('-', "_")))
}

/// A component in the folder of built guests.
fn built(file: &str) -> Bytes {
    let dir = std::env::var_os("EGRESSION_GUESTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/guest"),
        PathBuf::from,
    );
    let path = dir.join(file);
    match std::fs::read(&path) {
        Ok(wasm) => wasm.into(),
        Err(error) => panic!(
            "{} cannot be read ({error}). Build the guests first, with `cargo build --profile guest --target wasm32-wasip2` and \
             `-p connector-sandbox -p connector-hostile -p connector-trap-describe`, then `-p egression-sdk --examples`; \
             or name their folder in EGRESSION_GUESTS",
            path.display()
        ),
    }
}

/// The component with every `from` replaced by `to`, which has the same length, so that the binary
/// stays valid.
fn patched(wasm: &Bytes, from: &str, to: &str) -> Bytes {
    assert_eq!(from.len(), to.len());
    let mut wasm = wasm.to_vec();
    let mut found = 0;
    for place in 0..wasm.len().saturating_sub(from.len()) {
        if wasm[place..].starts_with(from.as_bytes()) {
            wasm[place..place + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "`{from}` is nowhere in the component");
    wasm.into()
}

/// A runtime with a folder of its own.
struct Bench {
    runtime: Arc<Runtime>,
    clock: Clock,
    dir: TempDir,
}

impl Bench {
    fn new(change: impl FnOnce(&mut RuntimeSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let mut settings = RuntimeSettings::new(dir.path().join("cache"), CacheKey([7; 32]));
        // One thread shows that a guest gives way to its neighbours, not only that there is another
        // thread.
        settings.workers = 1;
        settings.slots = 4;
        settings.memory_bytes = 16 * 1024 * 1024;
        settings.cpu_budget_ms = 500;
        change(&mut settings);
        let runtime = Runtime::start(settings, clock.clone()).unwrap();
        Self {
            runtime,
            clock,
            dir,
        }
    }

    async fn connector(&self, name: &str) -> Arc<Connector> {
        self.runtime.examine(guest(name)).await.unwrap()
    }

    fn call(&self, settings_json: &str, abilities: &Arc<Scripted>) -> Call {
        self.call_until(settings_json, abilities, LONG_MS)
    }

    fn call_until(&self, settings_json: &str, abilities: &Arc<Scripted>, left_ms: u64) -> Call {
        Call {
            abilities: Arc::<Scripted>::clone(abilities),
            connection: ConnectionFrame {
                subscription: "acme".into(),
                channel: "shop".into(),
                settings_json: settings_json.into(),
                deadline: self.clock.mono().plus_ms(left_ms),
                dry_run: false,
                traceparent: None,
            },
            session: None,
        }
    }
}

fn behave(how: &str) -> String {
    format!(r#"{{"behave":"{how}","target_url":"http://shop.test/products"}}"#)
}

fn items(indices: impl IntoIterator<Item = u32>) -> Vec<Item> {
    indices
        .into_iter()
        .map(|index| Item {
            index,
            job_id: format!("job_{index}"),
            object: ObjectKey::new("product", format!("p{index}")),
            action: Action::Upsert,
            body: Some("{}".to_owned()),
            revision: None,
            idempotency_key: format!("key-{index}"),
            attempt: 1,
            remotes: Vec::new(),
            references: Vec::new(),
        })
        .collect()
}

/// Abilities that answer each request with the same text, and hold it back until told otherwise.
struct Scripted {
    body: &'static str,
    sent: Mutex<Vec<OutgoingRequest>>,
    /// Fires with each request that arrived.
    arrived: Notify,
    answers: Semaphore,
}

impl Scripted {
    fn answering(body: &'static str) -> Arc<Self> {
        Arc::new(Self {
            body,
            sent: Mutex::default(),
            arrived: Notify::new(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn holding() -> Arc<Self> {
        Arc::new(Self {
            body: "{}",
            sent: Mutex::default(),
            arrived: Notify::new(),
            answers: Semaphore::new(0),
        })
    }

    fn sent(&self) -> Vec<OutgoingRequest> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Abilities for Scripted {
    async fn send(&self, request: OutgoingRequest) -> Result<Response, SendError> {
        self.sent.lock().unwrap().push(request);
        self.arrived.notify_one();
        self.answers.acquire().await.unwrap().forget();
        let body = Bytes::from_static(self.body.as_bytes());
        Ok(Response {
            status: 200,
            headers: Vec::new(),
            body,
            truncated: false,
            duration_ms: 1,
        })
    }

    async fn send_all(&self, requests: Vec<OutgoingRequest>) -> Vec<Result<Response, SendError>> {
        let mut answers = Vec::new();
        for request in requests {
            answers.push(self.send(request).await);
        }
        answers
    }

    async fn placeholder(&self, name: String) -> Result<String, CredentialError> {
        Ok(format!("{{{{{name}}}}}"))
    }

    async fn sign(&self, request: SignRequest) -> Result<String, CredentialError> {
        Ok(format!("{:?}", request.algorithm))
    }

    async fn deposit(
        &self,
        _name: String,
        _value: SecretString,
        _expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        Ok(())
    }

    async fn observe(&self, _observed: ObservedLimit) {}

    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>> {
        keys.iter().map(|_| Vec::new()).collect()
    }

    fn redact(&self, text: &str, _keep_bytes: usize) -> String {
        text.replace("hunter2", "***")
    }
}
