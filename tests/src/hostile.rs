//! Configurations with the connector `hostile`, which misbehaves as its settings define.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::binary;
use crate::host::TestHost;

/// The subscription of [`configuration`].
pub const SUBSCRIPTION: &str = "acme";

/// A channel with a connection of [`SUBSCRIPTION`].
#[derive(Clone, Debug, Default)]
pub struct HostileChannel {
    /// The channel's name.
    pub name: String,
    /// The setting `behave`.
    pub behave: String,
    /// More settings, as TOML in an inline table: `target_url = "…"`.
    pub settings: String,
    /// More lines of the channel.
    pub channel: String,
    /// More lines of the connection.
    pub connection: String,
}

impl HostileChannel {
    /// A channel with the name of its behavior, and one attempt per job.
    #[must_use]
    pub fn new(behave: &str) -> Self {
        Self {
            name: behave.replace('_', "-"),
            behave: behave.to_owned(),
            channel: "retry = { attempts = 1 }\n".to_owned(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Adds a setting with a string value.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push_str(&format!(", {name} = \"{value}\""));
        self
    }

    /// Replaces the lines of the channel.
    #[must_use]
    pub fn channel(mut self, lines: &str) -> Self {
        self.channel = format!("{lines}\n");
        self
    }

    /// Adds a line to the connection.
    #[must_use]
    pub fn connection(mut self, line: &str) -> Self {
        self.connection.push_str(&format!("{line}\n"));
        self
    }
}

impl fmt::Display for HostileChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            behave,
            settings,
            channel,
            connection,
        } = self;
        write!(
            f,
            "[[channels]]\nname = \"{name}\"\nconnector = \"hostile\"\n{channel}"
        )?;
        write!(
            f,
            "[[connections]]\nsubscription = \"{SUBSCRIPTION}\"\nchannel = \"{name}\"\n"
        )?;
        write!(
            f,
            "settings = {{ behave = \"{behave}\"{settings} }}\n{connection}"
        )
    }
}

/// The text of a configuration: the tables of the server, [`SUBSCRIPTION`], and the channels.
#[must_use]
pub fn configuration(server: &str, channels: &[HostileChannel]) -> String {
    let channels: String = channels.iter().map(ToString::to_string).collect();
    format!("{server}\n[[subscriptions]]\nname = \"{SUBSCRIPTION}\"\n{channels}")
}

/// Starts a host with this configuration and installs the connector.
///
/// # Errors
/// The host does not start, or the connector is not built.
pub async fn start(server: &str, channels: &[HostileChannel]) -> Result<TestHost> {
    let host = TestHost::start(&configuration(server, channels)).await?;
    host.install_connector(&component()?).await?;
    Ok(host)
}

/// The connector's component.
///
/// # Errors
/// It is not built.
pub fn component() -> Result<std::path::PathBuf> {
    binary::connector("hostile")
}

/// The connector `schema-slots` with these schemas in its slots.
///
/// # Errors
/// It is not built, or a schema does not fit into its slot.
pub fn with_schemas(settings: &Value, body: &Value) -> Result<Vec<u8>> {
    const SLOT_BYTES: usize = 16 * 1024;
    let mut wasm = std::fs::read(binary::connector("schema-slots")?)?;
    for (name, schema) in [("settings", settings), ("body", body)] {
        let start = format!("{{\"title\":\"slot of the {name} schema\"}}");
        let place = wasm
            .windows(start.len())
            .position(|window| window == start.as_bytes())
            .with_context(|| format!("no slot of the {name} schema"))?;
        let text = schema.to_string();
        anyhow::ensure!(text.len() <= SLOT_BYTES, "{} bytes", text.len());
        let padded = format!("{text:SLOT_BYTES$}");
        wasm[place..place + SLOT_BYTES].copy_from_slice(padded.as_bytes());
    }
    Ok(wasm)
}

/// The component with every `from` replaced by `to`. Both have the same length, so that the binary
/// remains valid WebAssembly.
///
/// # Errors
/// The file cannot be read, or does not contain `from`.
pub fn patched(component: &Path, from: &str, to: &str) -> Result<Vec<u8>> {
    anyhow::ensure!(
        from.len() == to.len(),
        "`{from}` and `{to}` have different lengths"
    );
    let mut wasm = std::fs::read(component)?;
    let places: Vec<usize> = wasm
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    anyhow::ensure!(
        !places.is_empty(),
        "`{from}` does not occur in {}",
        component.display()
    );
    for place in places {
        wasm[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    Ok(wasm)
}
