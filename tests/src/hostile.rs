//! Configurations whose channels go through the connector `hostile`, which misbehaves as its
//! settings say.

use std::fmt;
use std::path::Path;

use anyhow::Result;

use crate::binary;
use crate::host::TestHost;

/// The subscription that [`configuration`] knows.
pub const SUBSCRIPTION: &str = "acme";

/// A channel with a connection of [`SUBSCRIPTION`] into it.
#[derive(Clone, Debug, Default)]
pub struct HostileChannel {
    /// The channel's name.
    pub name: String,
    /// The setting `behave`.
    pub behave: String,
    /// More settings, as TOML inside of an inline table: `target_url = "…"`.
    pub settings: String,
    /// More lines of the channel.
    pub channel: String,
    /// More lines of the connection.
    pub connection: String,
}

impl HostileChannel {
    /// A channel called as it behaves, with one attempt for each job.
    #[must_use]
    pub fn new(behave: &str) -> Self {
        Self {
            name: behave.replace('_', "-"),
            behave: behave.to_owned(),
            channel: "retry = { attempts = 1 }\n".to_owned(),
            ..Self::default()
        }
    }

    /// Under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With one more setting, whose value is a text.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push_str(&format!(", {name} = \"{value}\""));
        self
    }

    /// With these lines in the channel, in place of those that it began with.
    #[must_use]
    pub fn channel(mut self, lines: &str) -> Self {
        self.channel = format!("{lines}\n");
        self
    }

    /// With one more line in the connection.
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

/// The text of a configuration: the given lines (the tables of the server), [`SUBSCRIPTION`], and
/// the channels.
#[must_use]
pub fn configuration(server: &str, channels: &[HostileChannel]) -> String {
    let channels: String = channels.iter().map(ToString::to_string).collect();
    format!("{server}\n[[subscriptions]]\nname = \"{SUBSCRIPTION}\"\n{channels}")
}

/// Starts a host with that configuration and installs the connector.
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

/// The component with every `from` replaced by `to`, which has the same length, so that the binary
/// stays valid WebAssembly.
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
        "`{from}` is nowhere in {}",
        component.display()
    );
    for place in places {
        wasm[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    Ok(wasm)
}
