//! The settings of a connection, which an operator enters. The host checks them against the schema
//! in `describe`.

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

/// How items are sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// One request for all items of a call.
    #[default]
    Batch,
    /// One request per item.
    Single,
}

impl Settings {
    /// The URL of a path below `/v1`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.base_url.trim_end_matches('/'))
    }

    /// The URL of an object. Its id may contain any character, so it is encoded.
    pub(crate) fn object_url(&self, object: &ObjectKey) -> Result<String, Problem> {
        Ok(self.url(&format!(
            "{}/{}",
            object.object_type,
            path_segment(&object.id)?
        )))
    }

    /// The URL for batches of one object type.
    pub(crate) fn batch_url(&self, object_type: &str) -> String {
        self.url(&format!("{object_type}/batch"))
    }
}
