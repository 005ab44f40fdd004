//! Installs, activates and loads connectors. The components lie in
//! `<data_dir>/connectors/<digest>.wasm`, their rows in the store.
//!
//! A call gets its connector once, at its start. A new version serves the calls that start later,
//! and the old version lives until its last call has ended. An installation that fails changes
//! nothing.
//!
//! The host loads the active versions after its start, while it serves. It loads any other version
//! when the version is activated or first called, for example by a channel that pins it. Until
//! then, descriptions come from the rows.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::component_files::ComponentFiles;
use super::connector_description::Description;
use super::description_diff::diff;
use super::install_error::InstallError;
#[cfg(test)]
use super::installed_versions::InstalledVersion;
use super::installed_versions::{Code, Entry, InstalledVersions};
use crate::runtime::Runtime;
use crate::runtime::loaded_connector::Connector;
use crate::schemas::{SchemaBounds, Workers};
use crate::store::Store;
use crate::store::connectors::ConnectorRow;

/// The result of an installation.
#[derive(Clone, Debug)]
pub struct Installed {
    pub name: String,
    pub version: String,
    /// How this version's needs and features differ from those of the active version, one sentence
    /// each.
    pub differences: Vec<String>,
}

/// A component that passed all checks and is not installed yet.
pub struct Candidate {
    wasm: Bytes,
    connector: Arc<Connector>,
}

pub struct Registry {
    runtime: Arc<Runtime>,
    store: Store,
    files: ComponentFiles,
    versions: ArcSwap<InstalledVersions>,
    /// Held during a change, so that changes happen one at a time. No change waits for the
    /// compiler.
    changing: tokio::sync::Mutex<()>,
    /// Held while an installed version is loaded, so that it is loaded once.
    loading: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Lists the installed versions, without running any of them. A version whose row cannot be
    /// read is left out, and the log says so. Fails if the store cannot be read.
    pub async fn open(
        runtime: Arc<Runtime>,
        store: Store,
        data_dir: &Path,
    ) -> Result<Self, InstallError> {
        let files = ComponentFiles::new(data_dir);
        let mut versions = InstalledVersions::default();
        for row in store.connectors().await? {
            let description = match serde_json::from_str(&row.description) {
                Ok(description) => Arc::new(description),
                Err(error) => {
                    tracing::error!(
                        connector = %row.name, version = %row.version, %error,
                        "the description of an installed connector cannot be read"
                    );
                    continue;
                }
            };
            versions.insert(Entry {
                row,
                description,
                code: Code::NotLoaded,
            })?;
        }
        Ok(Self {
            runtime,
            store,
            files,
            versions: ArcSwap::from_pointee(versions),
            changing: tokio::sync::Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        })
    }

    /// Loads the active versions, so that their first calls need not wait. A version that cannot be
    /// loaded is listed with its problem and does not stop the others.
    pub async fn load_active(&self) {
        let rows = self.versions.load().active();
        for (name, version) in rows {
            // The failure is logged, and kept with the version.
            let _ = self.load(&name, &version).await;
        }
    }

    /// The threads on which schemas are evaluated.
    pub fn schema_workers(&self) -> Arc<Workers> {
        Arc::clone(&self.runtime.schema_workers)
    }

    pub fn schema_bounds(&self) -> &SchemaBounds {
        &self.runtime.settings.schemas
    }

    /// Checks and compiles a component. The error says why it is refused. Dropping the future ends
    /// the compilation.
    pub async fn check(&self, wasm: Bytes) -> Result<Candidate, InstallError> {
        let connector = self.runtime.prepare(wasm.clone()).await?;
        Ok(Candidate { wasm, connector })
    }

    /// Stores and adds a version. With `activate`, new calls get it. To install the same bytes
    /// again changes nothing, and the active version stays active. Fails if the component cannot be
    /// stored, or if other bytes have the same version. Then nothing has changed.
    pub async fn install(
        &self,
        candidate: Candidate,
        activate: bool,
    ) -> Result<Installed, InstallError> {
        let Candidate { wasm, connector } = candidate;
        let size_bytes = wasm.len() as u64;
        let _change = self.changing.lock().await;
        let description = Arc::clone(connector.description());
        let digest = connector.digest().to_owned();
        let mut versions = InstalledVersions::clone(&self.versions.load());
        if let Some(known) = versions.get(&description.name, &description.version)
            && known.row.digest != digest
        {
            return Err(InstallError::VersionTaken {
                name: description.name.clone(),
                version: description.version.clone(),
                digest: known.row.digest.clone(),
            });
        }
        let previous = versions.choose(&description.name, None);
        let differences = previous.map_or_else(Vec::new, |previous| {
            diff(&previous.description, &description)
        });
        let previous = previous.map(|previous| previous.row.version.clone());
        let row = ConnectorRow {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: digest.clone(),
            description: serde_json::to_string(&*description)
                .map_err(|error| InstallError::Host(error.to_string()))?,
            size_bytes,
            active: activate || previous.as_ref() == Some(&description.version),
            installed_at: self.runtime.clock.wall(),
        };
        self.files.write(&digest, wasm).await?;
        self.store.put_connector(row.clone(), row.active).await?;
        let installed = Installed {
            name: row.name.clone(),
            version: row.version.clone(),
            differences,
        };
        versions.insert(Entry {
            row,
            description,
            code: Code::Loaded(connector),
        })?;
        self.versions.store(Arc::new(versions));
        Ok(installed)
    }

    /// The connector that a new call gets, loaded if necessary. `pin` is `1` or `1.2` for the
    /// newest release of that line, or a whole version; without a pin it is the active version.
    /// None if there is no such version, or if it cannot be loaded.
    pub async fn connector(&self, name: &str, pin: Option<&str>) -> Option<Arc<Connector>> {
        let versions = self.versions.load_full();
        let entry = versions.choose(name, pin)?;
        match &entry.code {
            Code::Loaded(connector) => Some(Arc::clone(connector)),
            // The cause of an earlier failure may be gone.
            Code::Failed(_) | Code::NotLoaded => self.load(name, &entry.row.version).await.ok(),
        }
    }

    /// Loads a version, unless it was loaded meanwhile.
    async fn load(&self, name: &str, version: &str) -> Result<Arc<Connector>, String> {
        let _load = self.loading.lock().await;
        let missing = || format!("{name} {version} is not installed");
        let entry = self.versions.load().get(name, version).cloned();
        let entry = entry.ok_or_else(missing)?;
        if let Code::Loaded(connector) = entry.code {
            return Ok(connector);
        }
        let loaded = load(&self.runtime, &self.files, &entry.row).await;
        let _change = self.changing.lock().await;
        let mut versions = InstalledVersions::clone(&self.versions.load());
        let entry = versions.get_mut(name, version).ok_or_else(missing)?;
        // An installation of the same bytes may have loaded it meanwhile.
        if !matches!(entry.code, Code::Loaded(_)) {
            match &loaded {
                Ok(connector) => {
                    entry.code = Code::Loaded(Arc::clone(connector));
                    entry.description = Arc::clone(connector.description());
                }
                Err(problem) => entry.code = Code::Failed(problem.clone()),
            }
        }
        self.versions.store(Arc::new(versions));
        loaded
    }

    /// The description of the version that a new call gets.
    pub fn description(&self, name: &str, pin: Option<&str>) -> Option<Arc<Description>> {
        let versions = self.versions.load();
        Some(Arc::clone(&versions.choose(name, pin)?.description))
    }

    /// Makes a version the one that new calls get; false if it is not installed. The store drops
    /// the sessions of other versions. Errors: [`InstallError::TrialFailed`] if it cannot be
    /// loaded; an error of the store.
    pub async fn activate(&self, name: &str, version: &str) -> Result<bool, InstallError> {
        if self.versions.load().get(name, version).is_none() {
            return Ok(false);
        }
        self.load(name, version)
            .await
            .map_err(InstallError::TrialFailed)?;
        let _change = self.changing.lock().await;
        if !self.store.activate_connector(name, version).await? {
            return Ok(false);
        }
        let mut versions = InstalledVersions::clone(&self.versions.load());
        versions.activate(name, version);
        self.versions.store(Arc::new(versions));
        Ok(true)
    }

    /// The number of instances in a call, and of idle instances, over all connectors.
    pub fn instances(&self) -> (u64, u64) {
        self.runtime.instances()
    }

    /// How an installed version's needs and features differ from those of the active version, one
    /// sentence each.
    pub fn differences(&self, name: &str, version: &str) -> Vec<String> {
        let versions = self.versions.load();
        match (
            versions.choose(name, None),
            versions.choose(name, Some(version)),
        ) {
            (Some(active), Some(other)) => diff(&active.description, &other.description),
            _ => Vec::new(),
        }
    }

    /// All versions, by name, newest first.
    #[cfg(test)]
    pub fn list(&self) -> Vec<InstalledVersion> {
        self.versions.load().list()
    }

    /// The row of an installed version.
    pub fn row(&self, name: &str, version: &str) -> Option<ConnectorRow> {
        let versions = self.versions.load();
        Some(versions.get(name, version)?.row.clone())
    }
}

/// The error is for a person.
async fn load(
    runtime: &Arc<Runtime>,
    files: &ComponentFiles,
    row: &ConnectorRow,
) -> Result<Arc<Connector>, String> {
    let loading = async {
        let wasm = files.read(&row.digest).await?;
        runtime.load(&row.digest, wasm).await
    };
    loading.await.map_err(|error: InstallError| {
        tracing::error!(
            connector = %row.name, version = %row.version, %error,
            "an installed connector cannot be loaded"
        );
        error.to_string()
    })
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
