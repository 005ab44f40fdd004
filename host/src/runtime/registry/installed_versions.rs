//! The installed versions of each connector, and the choice of the version that a new call gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;

use super::connector_description::Description;
use super::connector_version::Pin;
use super::install_error::InstallError;
use crate::runtime::loaded_connector::Connector;
use crate::store::StoreError;
use crate::store::connectors::ConnectorRow;

/// An installed version, for lists.
#[cfg(test)]
#[derive(Clone, Debug)]
pub struct InstalledVersion {
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Whether new calls get this version.
    pub active: bool,
    /// The reason why the version cannot be loaded.
    pub problem: Option<String>,
}

#[derive(Clone, Default)]
pub struct InstalledVersions {
    families: BTreeMap<String, Family>,
}

#[derive(Clone, Default)]
struct Family {
    active: Option<Version>,
    versions: BTreeMap<Version, Entry>,
}

#[derive(Clone)]
pub struct Entry {
    pub row: ConnectorRow,
    pub description: Arc<Description>,
    pub code: Code,
}

/// Whether a version is ready to be called.
#[derive(Clone)]
pub enum Code {
    NotLoaded,
    Loaded(Arc<Connector>),
    /// With the reason.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests list versions"))]
    Failed(String),
}

impl InstalledVersions {
    /// Adds or replaces a version. An active version deactivates the others.
    pub fn insert(&mut self, entry: Entry) -> Result<(), InstallError> {
        let version = Version::parse(&entry.row.version)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let active = entry.row.active;
        let family = self.families.entry(entry.row.name.clone()).or_default();
        family.versions.insert(version.clone(), entry);
        if active {
            family.activate(version);
        }
        Ok(())
    }

    /// Makes an installed version the one that new calls get.
    pub fn activate(&mut self, name: &str, version: &str) {
        if let Some(family) = self.families.get_mut(name)
            && let Ok(version) = Version::parse(version)
        {
            family.activate(version);
        }
    }

    pub fn get(&self, name: &str, version: &str) -> Option<&Entry> {
        let version = Version::parse(version).ok()?;
        self.families.get(name)?.versions.get(&version)
    }

    pub fn get_mut(&mut self, name: &str, version: &str) -> Option<&mut Entry> {
        let version = Version::parse(version).ok()?;
        self.families.get_mut(name)?.versions.get_mut(&version)
    }

    /// The version that a new call gets: the newest version that `pin` admits, or the active
    /// version if there is no pin.
    pub fn choose(&self, name: &str, pin: Option<&str>) -> Option<&Entry> {
        let family = self.families.get(name)?;
        let Some(pin) = pin else {
            return family.versions.get(family.active.as_ref()?);
        };
        let pin: Pin = pin.parse().ok()?;
        let mut newest_first = family.versions.iter().rev();
        newest_first
            .find(|(version, _)| pin.admits(version))
            .map(|(_, entry)| entry)
    }

    /// The names and versions that new calls get.
    pub fn active(&self) -> Vec<(String, String)> {
        let active = self.families.iter().filter_map(|(name, family)| {
            let version = family.active.as_ref()?;
            Some((name.clone(), version.to_string()))
        });
        active.collect()
    }

    /// All versions, by name, newest first.
    #[cfg(test)]
    pub fn list(&self) -> Vec<InstalledVersion> {
        self.families
            .values()
            .flat_map(|family| family.versions.values().rev().map(Entry::listed))
            .collect()
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

#[cfg(test)]
impl Entry {
    fn listed(&self) -> InstalledVersion {
        InstalledVersion {
            version: self.row.version.clone(),
            digest: self.row.digest.clone(),
            active: self.row.active,
            problem: match &self.code {
                Code::Failed(problem) => Some(problem.clone()),
                Code::NotLoaded | Code::Loaded(_) => None,
            },
        }
    }
}
