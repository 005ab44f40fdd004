//! The `[server]` table: where the host listens and keeps its data, and every bound of its parts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::settings::ApiSettings;
use crate::dispatch::settings::DispatchSettings;
use crate::gate::GateSettings;
use crate::resolver::ResolverSettings;
use crate::runtime::RuntimeSettings;
use crate::store::StoreOptions;

/// The host's own settings. Every field has a default; an option of `egression serve` goes before
/// the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// The address of the API.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// A separate address for `/metrics`, `/livez` and `/readyz`. None: they are served beside the
    /// API.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub operations_listen: Option<SocketAddr>,
    /// The directory of the database, the installed connectors and the keys. One host at a time.
    #[schema(value_type = String)]
    pub data_dir: PathBuf,
    /// A file with the key that encrypts stored secrets. None: the environment variable
    /// `EGRESSION_MASTER_KEY`, else a file in the data directory that is made at the first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub master_key_file: Option<PathBuf>,
    /// Bounds of the REST API.
    pub api: ApiSettings,
    /// Bounds of the job store.
    pub store: StoreOptions,
    /// Bounds of admission.
    pub dispatch: DispatchSettings,
    /// Bounds on reading from sources.
    pub resolver: ResolverSettings,
    /// Bounds on everything that leaves the host.
    pub gate: GateSettings,
    /// Bounds of the WASM engine.
    pub runtime: RuntimeSettings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            operations_listen: None,
            data_dir: PathBuf::from("egression-data"),
            master_key_file: None,
            api: ApiSettings::default(),
            store: StoreOptions::default(),
            dispatch: DispatchSettings::default(),
            resolver: ResolverSettings::default(),
            gate: GateSettings::default(),
            runtime: RuntimeSettings::default(),
        }
    }
}

impl ServerSettings {
    /// What is wrong with the settings, with pointers from `/server` on.
    #[must_use]
    pub fn issues(&self) -> Vec<crate::documents::validate::Issue> {
        let mut issues = Vec::new();
        if self
            .operations_listen
            .is_some_and(|operations| operations == self.listen && operations.port() != 0)
        {
            let detail = "must be another address than `listen`; leave it out to serve both at one";
            issues.push(crate::documents::validate::Issue::new(
                "/server/operations_listen",
                "value.conflict",
                detail,
            ));
        }
        if self.data_dir.as_os_str().is_empty() {
            issues.push(crate::documents::validate::Issue::new(
                "/server/data_dir",
                "field.missing",
                "the data directory is empty",
            ));
        }
        issues.extend(super::bounds::issues(self));
        issues
    }
}
