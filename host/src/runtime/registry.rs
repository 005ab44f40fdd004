//! The installed connectors: which versions there are, which one new calls take. Components lie in
//! `<data_dir>/connectors/<digest>.wasm`, their rows in the store.
//!
//! A call takes its connector once, at its start; a new version reaches the calls that start later,
//! and the old one lives until its last call has ended. An installation that fails changes nothing.
//!
//! At the host's start the active versions are loaded; another one is loaded when it is activated
//! or first called, as by a channel that pins it. What a version says about itself is known from
//! its row.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::time::Wall;

use super::component_files::ComponentFiles;
use super::connector::Connector;
use super::description::Description;
use super::difference::differences;
use super::version::{Pin, Version};
use super::{InstallError, Runtime};
use crate::store::connectors::ConnectorRow;
use crate::store::{Store, StoreError};

/// Where the registry keeps its rows.
#[async_trait]
pub trait ConnectorStore: Send + Sync + 'static {
    async fn put_connector(&self, row: ConnectorRow, activate: bool) -> Result<(), StoreError>;

    async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError>;

    async fn activate_connector(&self, name: &str, version: &str) -> Result<bool, StoreError>;
}

/// A version that was just installed.
#[derive(Clone, Debug)]
pub struct Installed {
    pub name: String,
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// What it says about itself.
    pub description: Arc<Description>,
    /// New calls go to it.
    pub active: bool,
    /// The version that was active before, if there was one.
    pub previous: Option<String>,
    /// What this version needs and offers other than that one, one sentence each.
    pub differences: Vec<String>,
}

/// An installed version as listed.
#[derive(Clone, Debug)]
pub struct InstalledVersion {
    pub name: String,
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    pub size_bytes: u64,
    /// New calls go to it.
    pub active: bool,
    pub installed_at: Wall,
    /// What it says about itself.
    pub description: Arc<Description>,
    /// Why it cannot be called, if it could not be loaded.
    pub problem: Option<String>,
}

pub struct Registry {
    runtime: Arc<Runtime>,
    store: Arc<dyn ConnectorStore>,
    files: ComponentFiles,
    families: RwLock<Arc<Families>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

type Families = BTreeMap<String, Family>;

#[derive(Clone, Default)]
struct Family {
    active: Option<Version>,
    versions: BTreeMap<Version, Entry>,
}

#[derive(Clone)]
struct Entry {
    row: ConnectorRow,
    description: Arc<Description>,
    connector: Loading,
}

/// Whether a version can be called.
#[derive(Clone)]
enum Loading {
    /// Nobody asked for it yet.
    Unloaded,
    Loaded(Arc<Connector>),
    /// It cannot be loaded, and why.
    Failed(String),
}

impl Registry {
    /// Loads the active versions. One that cannot be loaded is listed with its problem and does not
    /// stop the others.
    ///
    /// # Errors
    /// When the store cannot be read or holds a row that no version of this program wrote.
    pub async fn open(
        runtime: Arc<Runtime>,
        store: Arc<dyn ConnectorStore>,
        data_dir: &Path,
    ) -> Result<Self, InstallError> {
        let files = ComponentFiles::new(data_dir);
        let mut families = Families::new();
        for row in store.connectors().await? {
            let connector = if row.active {
                load(&runtime, &files, &row).await
            } else {
                Loading::Unloaded
            };
            let description = match &connector {
                Loading::Loaded(connector) => Arc::clone(connector.description()),
                _ => Arc::new(
                    serde_json::from_str(&row.description)
                        .map_err(|error| StoreError::Corrupt(error.to_string()))?,
                ),
            };
            insert(
                &mut families,
                Entry {
                    row,
                    description,
                    connector,
                },
            )?;
        }
        Ok(Self {
            runtime,
            store,
            files,
            families: RwLock::new(Arc::new(families)),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Checks, stores and adds a version. `activate`: new calls take it. The same bytes again
    /// change nothing, and a version that is active stays active; other bytes under a version that
    /// is there are refused.
    ///
    /// # Errors
    /// Why it is not installed; nothing has changed then.
    pub async fn install(&self, wasm: Bytes, activate: bool) -> Result<Installed, InstallError> {
        let size_bytes = wasm.len() as u64;
        let connector = self.runtime.examine(wasm.clone()).await?;
        let _change = self.changing.lock().await;
        let description = Arc::clone(connector.description());
        let (name, version) = (description.name.clone(), parse(&description.version)?);
        let mut families = Families::clone(&self.snapshot());
        let known = families
            .get(&name)
            .and_then(|family| family.versions.get(&version));
        if let Some(other) = known.filter(|entry| entry.row.digest != connector.digest()) {
            let digest = other.row.digest.clone();
            return Err(InstallError::VersionTaken {
                name,
                version: version.to_string(),
                digest,
            });
        }
        let previous = families.get(&name).and_then(|family| family.active.clone());
        let active = activate || previous.as_ref() == Some(&version);
        let differences = self
            .description(&name, None)
            .map_or_else(Vec::new, |old| differences(&old, &description));
        let row = ConnectorRow {
            name: name.clone(),
            version: version.to_string(),
            digest: connector.digest().to_owned(),
            description: serde_json::to_string(&*description)
                .map_err(|error| InstallError::Host(error.to_string()))?,
            size_bytes,
            active,
            installed_at: self.runtime.clock.wall(),
        };
        self.files.write(connector.digest(), wasm).await?;
        self.store.put_connector(row.clone(), active).await?;
        let installed = Installed {
            name,
            version: row.version.clone(),
            digest: row.digest.clone(),
            description: Arc::clone(&description),
            active,
            previous: previous.map(|version| version.to_string()),
            differences,
        };
        insert(
            &mut families,
            Entry {
                row,
                description,
                connector: Loading::Loaded(connector),
            },
        )?;
        self.publish(families);
        Ok(installed)
    }

    /// The connector that a new call takes, loaded if nobody asked for it before. `pin`: `1.2` is
    /// the newest released 1.2.x, `1.2.3` that one; none: the active version. None: there is no
    /// such version, or it cannot be loaded.
    pub async fn connector(&self, name: &str, pin: Option<&str>) -> Option<Arc<Connector>> {
        let (version, state) = self.resolve(name, pin, |entry| {
            (entry.row.version.clone(), entry.connector.clone())
        })?;
        match state {
            Loading::Loaded(connector) => Some(connector),
            // What failed may have failed for want of something that is there again.
            Loading::Failed(_) | Loading::Unloaded => {
                let _change = self.changing.lock().await;
                self.load_now(name, &version).await.ok()
            }
        }
    }

    /// Loads a version, unless somebody did meanwhile. To be called under the lock of changes.
    async fn load_now(&self, name: &str, version: &str) -> Result<Arc<Connector>, String> {
        let missing = || format!("{name} {version} is not installed");
        let version: Version = version.parse().map_err(|_| missing())?;
        let mut families = Families::clone(&self.snapshot());
        let entry = families
            .get_mut(name)
            .and_then(|family| family.versions.get_mut(&version))
            .ok_or_else(missing)?;
        if !matches!(entry.connector, Loading::Loaded(_)) {
            entry.connector = load(&self.runtime, &self.files, &entry.row).await;
        }
        let state = entry.connector.clone();
        self.publish(families);
        match state {
            Loading::Loaded(connector) => Ok(connector),
            Loading::Failed(problem) => Err(problem),
            Loading::Unloaded => Err(missing()),
        }
    }

    /// What the version that a new call takes says about itself.
    #[must_use]
    pub fn description(&self, name: &str, pin: Option<&str>) -> Option<Arc<Description>> {
        self.resolve(name, pin, |entry| Arc::clone(&entry.description))
    }

    /// Lets new calls take this version; false: it is not installed. The store drops sessions of
    /// other versions.
    ///
    /// # Errors
    /// [`InstallError::TrialFailed`] if it could not be loaded; what the store says.
    pub async fn activate(&self, name: &str, version: &str) -> Result<bool, InstallError> {
        let _change = self.changing.lock().await;
        let Ok(wanted) = version.parse::<Version>() else {
            return Ok(false);
        };
        if self
            .snapshot()
            .get(name)
            .is_none_or(|family| !family.versions.contains_key(&wanted))
        {
            return Ok(false);
        }
        self.load_now(name, version)
            .await
            .map_err(InstallError::TrialFailed)?;
        let mut families = Families::clone(&self.snapshot());
        let Some(family) = families.get_mut(name) else {
            return Ok(false);
        };
        if !self.store.activate_connector(name, version).await? {
            return Ok(false);
        }
        family.activate(wanted);
        self.publish(families);
        Ok(true)
    }

    /// Instances in a call, and instances kept for the next one, of all connectors.
    #[must_use]
    pub fn instances(&self) -> (u64, u64) {
        self.runtime.instances()
    }

    /// What an installed version needs and offers other than the active one, one sentence each.
    #[must_use]
    pub fn differences(&self, name: &str, version: &str) -> Vec<String> {
        match (
            self.description(name, None),
            self.description(name, Some(version)),
        ) {
            (Some(active), Some(other)) => differences(&active, &other),
            _ => Vec::new(),
        }
    }

    /// All versions, by name, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<InstalledVersion> {
        self.snapshot()
            .values()
            .flat_map(|family| family.versions.values().rev().map(Entry::listed))
            .collect()
    }

    /// The row of an installed version.
    #[must_use]
    pub fn row(&self, name: &str, version: &str) -> Option<ConnectorRow> {
        let version: Version = version.parse().ok()?;
        self.snapshot()
            .get(name)?
            .versions
            .get(&version)
            .map(|entry| entry.row.clone())
    }

    fn resolve<R>(
        &self,
        name: &str,
        pin: Option<&str>,
        take: impl FnOnce(&Entry) -> R,
    ) -> Option<R> {
        let families = self.snapshot();
        let family = families.get(name)?;
        let entry = match pin {
            None => family.versions.get(family.active.as_ref()?)?,
            Some(pin) => {
                let pin: Pin = pin.parse().ok()?;
                family
                    .versions
                    .iter()
                    .rev()
                    .find(|(version, _)| pin.admits(version))?
                    .1
            }
        };
        Some(take(entry))
    }

    fn snapshot(&self) -> Arc<Families> {
        Arc::clone(&self.families.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, families: Families) {
        *self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(families);
    }
}

impl Family {
    fn activate(&mut self, wanted: Version) {
        for (version, entry) in &mut self.versions {
            entry.row.active = *version == wanted;
        }
        self.active = Some(wanted);
    }
}

impl Entry {
    fn listed(&self) -> InstalledVersion {
        InstalledVersion {
            name: self.row.name.clone(),
            version: self.row.version.clone(),
            digest: self.row.digest.clone(),
            size_bytes: self.row.size_bytes,
            active: self.row.active,
            installed_at: self.row.installed_at,
            description: Arc::clone(&self.description),
            problem: match &self.connector {
                Loading::Failed(problem) => Some(problem.clone()),
                Loading::Unloaded | Loading::Loaded(_) => None,
            },
        }
    }
}

fn insert(families: &mut Families, entry: Entry) -> Result<(), InstallError> {
    let version = parse(&entry.row.version)?;
    let active = entry.row.active;
    let family = families.entry(entry.row.name.clone()).or_default();
    family.versions.insert(version.clone(), entry);
    if active {
        family.activate(version);
    }
    Ok(())
}

fn parse(version: &str) -> Result<Version, InstallError> {
    version
        .parse()
        .map_err(|error: super::version::VersionError| {
            StoreError::Corrupt(error.to_string()).into()
        })
}

async fn load(runtime: &Arc<Runtime>, files: &ComponentFiles, row: &ConnectorRow) -> Loading {
    let loading = async {
        runtime
            .load(&row.digest, files.read(&row.digest).await?)
            .await
    };
    match loading.await {
        Ok(connector) => Loading::Loaded(connector),
        Err(error) => {
            tracing::error!(connector = %row.name, version = %row.version, %error, "an installed connector cannot be loaded");
            Loading::Failed(error.to_string())
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("connectors", &self.list().len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ConnectorStore for Store {
    async fn put_connector(&self, row: ConnectorRow, activate: bool) -> Result<(), StoreError> {
        Self::put_connector(self, row, activate).await
    }

    async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError> {
        Self::connectors(self).await
    }

    async fn activate_connector(&self, name: &str, version: &str) -> Result<bool, StoreError> {
        Self::activate_connector(self, name, version).await
    }
}
