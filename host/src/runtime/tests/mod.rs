//! The runtime with real components and scripted abilities.

mod body_examples;
mod compiling;
pub mod components;
mod hostile_guests;
mod instance_reuse;
mod optional_exports;
mod refused_components;
mod tampered_code;
mod version_changes;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::action::Action;
use egression_core::domain::object::ObjectKey;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

use super::connector_call::{Call, ConnectionFrame, Item};
use super::guest_abilities::Abilities;
use super::runtime_settings::CacheKey;
use crate::clock::Clock;
use crate::gate::exchange::{OutgoingRequest, Response, SendError};
use crate::runtime::{Connector, Runtime, RuntimeSettings};

/// The deadline of a call. No test measures time.
const LONG_MS: u64 = 120_000;

/// The component of a crate in `connectors/`.
fn guest(name: &str) -> Bytes {
    built(&format!("connector_{}.wasm", name.replace('-', "_")))
}

/// A file in the folder of built guests.
fn built(file: &str) -> Bytes {
    let dir = std::env::var_os("EGRESSION_GUESTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/guest"),
        PathBuf::from,
    );
    let path = dir.join(file);
    match std::fs::read(&path) {
        Ok(wasm) => wasm.into(),
        Err(error) => panic!(
            "{} cannot be read ({error}). Build the guests with `cargo xtask test --only guests`, \
             or set EGRESSION_GUESTS to their folder",
            path.display()
        ),
    }
}

/// The component with each `from` replaced by `to`. Both have the same length, so the binary stays
/// valid.
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
    assert!(found > 0, "the component does not contain `{from}`");
    wasm.into()
}

/// A runtime with its own folder.
struct Harness {
    runtime: Arc<Runtime>,
    clock: Clock,
    dir: TempDir,
}

impl Harness {
    fn new(change: impl FnOnce(&mut RuntimeSettings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let mut settings = RuntimeSettings::new(dir.path().join("cache"), CacheKey([7; 32]));
        // With one thread, other guests only run if a guest yields.
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
        self.runtime.prepare(guest(name)).await.unwrap()
    }

    fn call(&self, settings_json: &str, abilities: &Arc<ScriptedAbilities>) -> Call {
        self.call_until(settings_json, abilities, LONG_MS)
    }

    fn call_until(
        &self,
        settings_json: &str,
        abilities: &Arc<ScriptedAbilities>,
        left_ms: u64,
    ) -> Call {
        Call {
            abilities: Arc::<ScriptedAbilities>::clone(abilities),
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

/// Abilities that answer each request with the same text, once there is a permit for the answer.
struct ScriptedAbilities {
    body: &'static str,
    sent: Mutex<Vec<OutgoingRequest>>,
    /// Notified at each request.
    arrived: Notify,
    answers: Semaphore,
}

impl ScriptedAbilities {
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
impl Abilities for ScriptedAbilities {
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

    fn redact(&self, text: &str, _keep_bytes: usize) -> String {
        text.replace("hunter2", "***")
    }
}
