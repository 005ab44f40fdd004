//! Accepts or refuses a component, cheapest check first: is it a component, does it export a
//! connector, does it import only what connectors may import, does it compile and instantiate, and
//! is its description valid?

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use egression_core::domain::outcome::CallError;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::check_description;
use super::code_cache::Origin;
use super::connector_description::Description;
use super::install_error::InstallError;
use crate::runtime::Runtime;
use crate::runtime::instance::call_frame::CallFrame;
use crate::runtime::instance::contract_calls::{Describe, GuestCall, Trial};
use crate::runtime::instance::run_call::run_call;
use crate::runtime::loaded_connector::Connector;
use crate::runtime::v0_1::{self, Contract};
use crate::telemetry::metrics;

/// The WASI packages that are linked, all of 0.2.
const WASI: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

impl Runtime {
    /// Prepares a stored component, after the same checks as at its installation. Errors:
    /// [`InstallError::Changed`] if the digest of the bytes is another; otherwise as
    /// [`Runtime::prepare`].
    pub async fn load(
        self: &Arc<Self>,
        expected: &str,
        wasm: Bytes,
    ) -> Result<Arc<Connector>, InstallError> {
        let found = sha256(&wasm);
        if found != expected {
            return Err(InstallError::Changed {
                expected: expected.to_owned(),
                found,
            });
        }
        self.prepare(wasm).await
    }

    /// Checks and compiles a component. The error says why it is refused. Dropping the future ends
    /// the compilation.
    pub async fn prepare(self: &Arc<Self>, wasm: Bytes) -> Result<Arc<Connector>, InstallError> {
        check_kind(&wasm, self.settings.max_component_bytes)?;
        let digest: Arc<str> = sha256(&wasm).into();
        let (component, new_code) = self.compile(&digest, &wasm).await?;
        check_world(&self.engine, &component)?;
        let contract = self
            .linker
            .instantiate_pre(&component)
            .and_then(Contract::new)
            .map_err(|error| InstallError::Mismatch(format!("{error:#}")))?;
        let contract = Arc::new(contract);
        self.call(&digest, &contract, Trial)
            .await
            .map_err(|error| failed(error, InstallError::TrialFailed))?;
        let describe = Describe {
            max_bytes: self.settings.description.max_bytes,
        };
        let description = self
            .call(&digest, &contract, describe)
            .await
            .map_err(|error| failed(error, InstallError::DescribeFailed))?
            .map_err(InstallError::Description)?;
        let description = Arc::new(description);
        self.check(Arc::clone(&description)).await?;
        // Not earlier: nobody would remove the code of a component that was refused.
        if let Some(code) = new_code {
            let (runtime, name) = (Arc::clone(self), Arc::clone(&digest));
            blocking(move || runtime.cache.keep(&name, &code)).await?;
        }
        Ok(Arc::new(Connector::new(
            Arc::clone(self),
            digest,
            contract,
            description,
        )))
    }

    /// Checks a description on the threads for schemas.
    async fn check(&self, description: Arc<Description>) -> Result<(), InstallError> {
        let (schemas, bounds) = (
            self.settings.schemas.clone(),
            self.settings.description.clone(),
        );
        let faults = self
            .schema_workers
            .run(move || check_description::faults(&description, &bounds, &schemas))
            .await
            .unwrap_or_else(|error| vec![format!("its schemas were {error}")]);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(InstallError::Description(faults))
        }
    }

    /// The component's code, from the cache or the compiler; in the latter case, as bytes, too.
    async fn compile(
        self: &Arc<Self>,
        digest: &Arc<str>,
        wasm: &Bytes,
    ) -> Result<(Component, Option<Vec<u8>>), InstallError> {
        let began = self.clock.mono();
        let (runtime, name) = (Arc::clone(self), Arc::clone(digest));
        let cached = blocking(move || runtime.cache.read(&name)).await?;
        let (component, code, origin) = match cached {
            Some(component) => (component, None, Origin::Cache),
            None => {
                let code = self.compiler.compile(wasm).await?;
                let runtime = Arc::clone(self);
                let load = move || (runtime.cache.load(&code), code);
                let (loaded, code) = blocking(load).await?;
                let component = loaded.map_err(|error| load_error(&error))?;
                (component, Some(code), Origin::Compiler)
            }
        };
        metrics::compiled(origin.into(), self.clock.mono().since_us(began));
        Ok((component, code))
    }

    async fn call<C: GuestCall>(
        self: &Arc<Self>,
        digest: &Arc<str>,
        contract: &Arc<Contract>,
        call: C,
    ) -> Result<C::Answer, CallError> {
        let frame = CallFrame::without_connection(self, digest);
        run_call(self, contract, frame, call).await.result
    }
}

/// Loading takes long enough to disturb other tasks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, InstallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| InstallError::Host(error.to_string()))
}

/// Tells a component that does not fit into a slot from code that cannot be loaded. The engine
/// reports both in the same way.
fn load_error(error: &wasmtime::Error) -> InstallError {
    let reason = format!("{error:#}");
    if reason.contains("pooling allocator") {
        InstallError::TooDemanding(reason)
    } else {
        InstallError::Host(format!("compiled code cannot be loaded: {reason}"))
    }
}

fn failed(error: CallError, stage: fn(String) -> InstallError) -> InstallError {
    match error {
        CallError::Trapped(problem) => stage(problem.message),
        CallError::NotRun(problem) => InstallError::Host(problem.message),
        other => stage(format!("{other:?}")),
    }
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Checks the size and the first eight bytes: magic, version and layer of the binary format.
fn check_kind(wasm: &[u8], max_bytes: usize) -> Result<(), InstallError> {
    if wasm.len() > max_bytes {
        return Err(InstallError::TooLarge {
            size_bytes: wasm.len(),
            max_bytes,
        });
    }
    match wasm.get(..8) {
        Some([b'\0', b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([b'\0', b'a', b's', b'm', _, _, 0, 0]) => Err(InstallError::CoreModule),
        _ if wasm.starts_with(b"\0asm") => Err(InstallError::Invalid(
            "the file is truncated or of an unknown kind".to_owned(),
        )),
        _ => Err(InstallError::NotWasm),
    }
}

/// Checks that it exports a connector and imports only what connectors may import.
fn check_world(engine: &Engine, component: &Component) -> Result<(), InstallError> {
    let component_type = component.component_type();
    if component.get_export_index(None, v0_1::CONNECTOR).is_none() {
        let exports = component_type
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        return Err(InstallError::WrongWorld {
            missing: vec![v0_1::CONNECTOR.to_owned()],
            exports,
        });
    }
    let imports: Vec<String> = component_type
        .imports(engine)
        .map(|(name, _)| name)
        .filter(|name| !is_granted(name))
        .map(str::to_owned)
        .collect();
    if imports.is_empty() {
        Ok(())
    } else {
        Err(InstallError::NotGranted { imports })
    }
}

fn is_granted(import: &str) -> bool {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    let ours = interface.starts_with(v0_1::PACKAGE) && version.starts_with("0.1.");
    let wasi =
        WASI.iter().any(|package| interface.starts_with(package)) && version.starts_with("0.2.");
    ours || wasi
}
