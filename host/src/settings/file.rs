//! The configuration file: read, checked, and refused with the position of each problem.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::server::ServerSettings;
use crate::documents::model::{
    ChannelDocument, ConnectionDocument, Documents, SourceDocument, SubscriptionDocument,
};
use crate::documents::structs_from_objects;
use crate::documents::toml_position::{Position, locate, position};
use crate::documents::validate::{self, Issue};

pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: larger than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    /// The text is not TOML, or does not have the shape of a configuration.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Shape {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        message: String,
    },
    #[error("{}", Listed(path, issues))]
    Invalid {
        path: PathBuf,
        /// In the order of the text.
        issues: Vec<PlacedIssue>,
    },
}

/// An issue and its position in the text.
#[derive(Debug)]
pub struct PlacedIssue {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub issue: Issue,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigurationFile {
    server: ServerSettings,
    subscriptions: Vec<SubscriptionDocument>,
    sources: Vec<SourceDocument>,
    channels: Vec<ChannelDocument>,
    connections: Vec<ConnectionDocument>,
}

/// Reads a file for `egression serve`, which must be complete. `data_dir` applies if the file does
/// not set one.
pub fn load(
    path: &Path,
    data_dir: Option<PathBuf>,
) -> Result<(ServerSettings, Documents), FileError> {
    let text = read(path)?;
    let (mut server, documents) = parse(path, &text, validate::complete_set)?;
    if let Some(data_dir) = data_dir.filter(|_| !names_data_dir(&text)) {
        server.data_dir = data_dir;
    }
    Ok((server, documents))
}

/// Whether the file sets the data directory, even to the default.
fn names_data_dir(text: &str) -> bool {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    table
        .get("server")
        .is_some_and(|server| server.get("data_dir").is_some())
}

/// Reads a file for `egression apply`. Its documents may refer to documents on the host.
pub fn load_part(path: &Path) -> Result<Documents, FileError> {
    parse(path, &read(path)?, validate::set).map(|(_, documents)| documents)
}

fn read(path: &Path) -> Result<String, FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn parse(
    path: &Path,
    text: &str,
    check: fn(&Documents) -> Vec<Issue>,
) -> Result<(ServerSettings, Documents), FileError> {
    let file: ConfigurationFile = toml::Deserializer::parse(text)
        .and_then(structs_from_objects::by_name)
        .map_err(|error| {
            let Position { line, column } =
                position(text, error.span().map_or(0, |span| span.start));
            FileError::Shape {
                path: path.to_owned(),
                line,
                column,
                message: error.message().to_owned(),
            }
        })?;
    let documents = Documents {
        subscriptions: file.subscriptions,
        sources: file.sources,
        channels: file.channels,
        connections: file.connections,
    };
    let mut issues: Vec<PlacedIssue> = file
        .server
        .issues()
        .into_iter()
        .chain(check(&documents))
        .map(|issue| placed(text, issue))
        .collect();
    issues.sort_by_key(|placed| (placed.line, placed.column));
    if issues.is_empty() {
        Ok((file.server, documents))
    } else {
        Err(FileError::Invalid {
            path: path.to_owned(),
            issues,
        })
    }
}

fn placed(text: &str, issue: Issue) -> PlacedIssue {
    let Position { line, column } = locate(text, &issue.pointer);
    PlacedIssue {
        line,
        column,
        issue,
    }
}

struct Listed<'a>(&'a Path, &'a [PlacedIssue]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, placed) in self.1.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let PlacedIssue {
                line,
                column,
                issue,
            } = placed;
            let (path, Issue { detail, code, .. }) = (self.0.display(), issue);
            write!(f, "{separator}{path}:{line}:{column}: {detail} ({code})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("egression.toml"), text, validate::complete_set)
            .unwrap_err()
            .to_string()
    }

    const EXAMPLE: &str = r#"
[server]
listen = "0.0.0.0:9000"
[[subscriptions]]
name = "acme"
[[sources]]
name = "pim"
subscriptions = ["acme"]
kind = "http"
object_url = "https://pim.example/objects/{type}/{id}"
auth = { scheme = "bearer", token = { env = "PIM_TOKEN" } }
limits = [{ kind = "concurrency", max = 8 }]
[[channels]]
name = "shop-de"
connector = "sandbox"
belts = [["category", "brand"], ["product"], ["offer"]]
partition = "object"
retry = { attempts = 8, base_ms = 1000, max_ms = 900000, retry_on = ["5xx"], reject_on = [] }
limits = [
  { kind = "token_bucket", scope = "connection", rate = 20, per_ms = 1000, burst = 5 },
  { kind = "window", scope = "connection", max = 250, window_ms = 15000 },
]
[[connections]]
subscription = "acme"
channel = "shop-de"
settings = { base_url = "https://shop.example" }
auth = { scheme = "oauth2_client_credentials", token_url = "https://shop.example/oauth/token",
    client_id = "c", client_secret = { file = "secret" } }
allow_addresses = ["127.0.0.1/32"]
"#;

    #[test]
    fn documented_shape_is_accepted() {
        let (settings, documents) =
            parse(Path::new("egression.toml"), EXAMPLE, validate::complete_set).unwrap();
        assert_eq!(settings.listen.port(), 9000);
        assert_eq!(settings.data_dir, ServerSettings::default().data_dir);
        assert_eq!(
            (
                documents.sources[0].max_batch,
                documents.channels[0].limits.len(),
                documents.connections.len()
            ),
            (200, 2, 1)
        );
    }

    #[test]
    fn problem_is_reported_with_its_position() {
        insta::assert_snapshot!("not_toml", refused("[server\nlisten = 1"));
        insta::assert_snapshot!(
            "unknown_field",
            refused(&EXAMPLE.replace("connector = ", "conector = "))
        );
        insta::assert_snapshot!(
            "unknown_setting",
            refused("[server]\nlissten = \"127.0.0.1:1\"")
        );
        insta::assert_snapshot!(
            "wrong_type",
            refused(&EXAMPLE.replace("\"127.0.0.1/32\"", "\"localhost\""))
        );
        insta::assert_snapshot!(
            "unknown_scheme",
            refused(&EXAMPLE.replace("\"bearer\"", "\"basic\""))
        );
        let senseless = EXAMPLE
            .replace("[\"product\"]", "[\"brand\"]")
            .replace("burst = 5", "burst = 0")
            .replace("\"5xx\"", "\"9xx\"");
        let senseless = senseless
            .replace("/{type}/{id}", "/{id}")
            .replace("channel = \"shop-de\"", "channel = \"shop-fr\"");
        insta::assert_snapshot!("senseless", refused(&senseless));
    }

    #[test]
    fn missing_file_is_named() {
        let error = load(Path::new("nowhere/egression.toml"), None)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("nowhere/egression.toml: "), "{error}");
    }
}
