//! From bytes to a connector that can be called: is it a component, a connector, does it ask only
//! for what it is given, can it be compiled and instantiated, what does it say about itself, and
//! does that make sense. Cheap questions first. Compiling happens off the request path, one
//! component at a time, after everybody else (`compiler.rs`).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use egression_core::domain::outcome::CallError;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::abilities::NoAbilities;
use super::asks::{Ask, Describe, Trial};
use super::check_description;
use super::connector::Connector;
use super::description::Description;
use super::run::{Frame, run};
use super::slots::Tenant;
use super::v0_1::{self, Contract};
use super::{InstallError, Runtime};
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

/// A component that could be installed.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// SHA-256, in hex.
    pub digest: String,
    /// What it says about itself.
    pub description: Arc<Description>,
    pub size_bytes: usize,
}

impl Runtime {
    /// Checks a component without installing it.
    ///
    /// # Errors
    /// What is wrong with it, in plain words.
    pub async fn inspect(self: &Arc<Self>, wasm: Bytes) -> Result<Inspected, InstallError> {
        let size_bytes = wasm.len();
        let connector = self.examine(wasm).await?;
        Ok(Inspected {
            digest: connector.digest().to_owned(),
            description: Arc::clone(connector.description()),
            size_bytes,
        })
    }

    /// Makes a stored component ready to be called, after the same checks as at its installation.
    ///
    /// # Errors
    /// [`InstallError::Changed`] if the bytes are not those of the digest; else as
    /// [`Runtime::inspect`].
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
        self.examine(wasm).await
    }

    pub(super) async fn examine(
        self: &Arc<Self>,
        wasm: Bytes,
    ) -> Result<Arc<Connector>, InstallError> {
        check_kind(&wasm, self.settings.max_component_bytes)?;
        let digest: Arc<str> = sha256(&wasm).into();
        let component = self.compile(&digest, wasm).await?;
        check_world(&self.engine, &component)?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| InstallError::Mismatch(format!("{error:#}")))?;
        let contract =
            Contract::new(pre).map_err(|error| InstallError::Mismatch(format!("{error:#}")))?;
        let contract = Arc::new(contract);
        self.ask(&digest, &contract, Trial)
            .await
            .map_err(|error| failed(error, InstallError::TrialFailed))?;
        let described = self
            .ask(&digest, &contract, Describe)
            .await
            .map_err(|error| failed(error, InstallError::DescribeFailed))?;
        let description = described.map_err(InstallError::Description)?;
        let wrong = check_description::check(&description);
        if !wrong.is_empty() {
            return Err(InstallError::Description(wrong));
        }
        Ok(Arc::new(Connector::new(
            Arc::clone(self),
            digest,
            contract,
            description,
        )))
    }

    async fn compile(
        self: &Arc<Self>,
        digest: &Arc<str>,
        wasm: Bytes,
    ) -> Result<Component, InstallError> {
        let (runtime, digest) = (Arc::clone(self), Arc::clone(digest));
        let compiling = move || {
            let began = runtime.clock.mono();
            let compiled = runtime.cache.load(&digest, &wasm);
            if let Ok((_, origin)) = &compiled {
                metrics::compiled(origin.as_str(), runtime.clock.mono().since_us(began));
            }
            compiled
        };
        match self.compiler.run(compiling).await {
            Some(Ok((component, _origin))) => Ok(component),
            Some(Err(error)) => Err(uncompiled(&error)),
            None => Err(InstallError::Host(
                "the compiler failed; the host's log says how".to_owned(),
            )),
        }
    }

    /// Asks outside of any connection.
    async fn ask<A: Ask>(
        self: &Arc<Self>,
        digest: &Arc<str>,
        contract: &Arc<Contract>,
        ask: A,
    ) -> Result<A::Answer, CallError> {
        let frame = Frame {
            tenant: Tenant {
                digest: Arc::clone(digest),
                subscription: Arc::from(""),
                channel: Arc::from(""),
            },
            abilities: Arc::new(NoAbilities),
            deadline: self.clock.mono().plus_ms(self.settings.describe_ms),
            reusable: false,
        };
        run(self, contract, frame, ask).await.result
    }
}

/// The engine refuses a component that fits into no slot of its pool as it refuses one that is not
/// valid.
fn uncompiled(error: &wasmtime::Error) -> InstallError {
    let reason = format!("{error:#}");
    if reason.contains("pooling allocator") {
        InstallError::TooDemanding(reason)
    } else {
        InstallError::Invalid(reason)
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
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// Looks at the first eight bytes: magic, version and layer of the binary format.
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
            "the file is cut off or of an unknown kind".to_owned(),
        )),
        _ => Err(InstallError::NotWasm),
    }
}

/// Whether it exports a connector and imports only what connectors are given.
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
