//! Where a secret comes from: an environment variable, a file, or the API. Never from the text of a document.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A reference to a secret in a document.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// Read from this environment variable of the host when the document is loaded.
    Env(String),
    /// Read from this file on the host when the document is loaded; one trailing line end is dropped.
    #[schema(value_type = String)]
    File(PathBuf),
    /// Given in the request. Accepted from the API only, encrypted at once, never given back.
    #[schema(value_type = String)]
    Value(#[serde(skip_serializing)] SecretString),
}
