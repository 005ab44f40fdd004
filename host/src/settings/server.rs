//! The `[server]` table: addresses, data directory, and the settings of each part.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::ApiSettings;
use crate::dispatch::settings::DispatchSettings;
use crate::documents::validate::Issue;
use crate::gate::GateSettings;
use crate::resolver::ResolverSettings;
use crate::runtime::RuntimeSettings;
use crate::store::StoreOptions;

/// The settings of the host. Every field has a default. Command-line options override the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// The address of the API.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// A separate address for `/metrics`, `/livez` and `/readyz`, where none needs a key. Without
    /// it, they are served with the API, and `/metrics` needs a key that is not bound to a
    /// subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub operations_listen: Option<SocketAddr>,
    /// The directory of the database, the installed connectors and the keys. Only one host at a
    /// time can use it.
    #[schema(value_type = String)]
    pub data_dir: PathBuf,
    /// A file with the key that encrypts stored secrets. Without it, the environment variable
    /// `EGRESSION_MASTER_KEY` is used, or else a file in the data directory, created at the first
    /// start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub master_key_file: Option<PathBuf>,
    /// The REST API.
    pub api: ApiSettings,
    /// The job store.
    pub store: StoreOptions,
    /// Admission of jobs.
    pub dispatch: DispatchSettings,
    /// Reads from sources.
    pub resolver: ResolverSettings,
    /// Requests that leave the host.
    pub gate: GateSettings,
    /// The WebAssembly engine.
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
    /// The problems of the settings. Pointers begin with `/server`.
    pub fn issues(&self) -> Vec<Issue> {
        let mut issues = Vec::new();
        if self
            .operations_listen
            .is_some_and(|operations| operations == self.listen && operations.port() != 0)
        {
            let detail = "must differ from `listen`; omit it to serve both at one address";
            issues.push(Issue::new(
                "/server/operations_listen",
                "value.conflict",
                detail,
            ));
        }
        if self.data_dir.as_os_str().is_empty() {
            issues.push(Issue::new(
                "/server/data_dir",
                "field.missing",
                "the data directory is empty",
            ));
        }
        issues.extend(super::bounds::issues(self));
        issues
    }
}
