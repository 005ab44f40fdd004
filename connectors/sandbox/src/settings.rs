//! What an operator enters for a connection. The host has checked it against the schema in
//! `describe`.

use egression_sdk::{ObjectKey, Problem, path_segment};
use serde::Deserialize;

/// The settings of one connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    base_url: String,
    #[serde(default)]
    pub(crate) mode: Mode,
    #[serde(default)]
    pub(crate) login: bool,
}

/// How items travel.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// One request for all items of a call.
    #[default]
    Batch,
    /// One request each.
    Single,
}

impl Settings {
    /// A path of the shop's API, below `/v1`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base_url.trim_end_matches('/'))
    }

    /// One object's address. An id is data and may hold anything, so it is encoded.
    pub(crate) fn object_url(&self, object: &ObjectKey) -> Result<String, Problem> {
        Ok(self.url(&format!(
            "{}/{}",
            object.object_type,
            path_segment(&object.id)?
        )))
    }

    /// Where a batch of one type goes.
    pub(crate) fn batch_url(&self, object_type: &str) -> String {
        self.url(&format!("{object_type}/batch"))
    }
}
