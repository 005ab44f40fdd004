//! `egression serve`: combines the settings of file and options, and runs the host.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::exit::{CommandError, Exit};
use crate::app;
use crate::documents::model::Documents;
use crate::settings::file::{self, FileError};
use crate::settings::server::ServerSettings;

/// The arguments of `egression serve`.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    /// Configuration file (TOML): settings of the server, subscriptions, sources, channels and
    /// connections. The API cannot change the documents of the file.
    #[arg(
        long,
        value_name = "FILE",
        env = "EGRESSION_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// Address of the API; overrides `listen` in the file.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Separate address for `/metrics`, `/livez` and `/readyz`; overrides `operations_listen` in
    /// the file.
    #[arg(long, value_name = "ADDR")]
    operations_listen: Option<SocketAddr>,
    /// File with the key that encrypts stored secrets; overrides `master_key_file` in the file.
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

/// The data directory, by its source.
#[derive(Debug, Default)]
pub(super) struct DataDir {
    pub(super) option: Option<PathBuf>,
    pub(super) variable: Option<PathBuf>,
}

pub(super) async fn run(args: ServeArgs, data_dir: DataDir) -> Result<Exit, CommandError> {
    let (settings, documents) = settings(args, data_dir)?;
    if let Some(issue) = settings.issues().first() {
        return Err(CommandError::Usage(issue.to_string()));
    }
    app::serve(settings, documents).await?;
    Ok(Exit::Done)
}

/// Command-line options override the file, the file overrides the environment's data directory, and
/// that overrides the default.
fn settings(
    args: ServeArgs,
    data_dir: DataDir,
) -> Result<(ServerSettings, Option<Documents>), FileError> {
    let (mut settings, documents) = match &args.config {
        Some(path) => {
            let (settings, documents) = file::load(path, data_dir.variable)?;
            (settings, Some(documents))
        }
        None => {
            let mut settings = ServerSettings::default();
            settings.data_dir = data_dir.variable.unwrap_or(settings.data_dir);
            // No file differs from an empty file: the documents of an earlier file stay.
            (settings, None)
        }
    };
    if let Some(listen) = args.listen {
        settings.listen = listen;
    }
    if let Some(data_dir) = data_dir.option {
        settings.data_dir = data_dir;
    }
    settings.operations_listen = args.operations_listen.or(settings.operations_listen);
    settings.master_key_file = args.master_key_file.or(settings.master_key_file);
    Ok((settings, documents))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn options_override_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("egression.toml");
        let text = "[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"from-file\"\n\
            master_key_file = \"m\"\n";
        std::fs::write(&path, text).unwrap();
        let args = |listen: Option<&str>| ServeArgs {
            config: Some(path.clone()),
            listen: listen.map(|text| text.parse().unwrap()),
            operations_listen: None,
            master_key_file: None,
        };
        let data_dir_of = |option: Option<&str>, variable: Option<&str>| DataDir {
            option: option.map(Into::into),
            variable: variable.map(Into::into),
        };
        let (settings, _) = super::settings(
            args(Some("127.0.0.1:2")),
            data_dir_of(Some("from-option"), Some("from-variable")),
        )
        .unwrap();
        assert_eq!(
            (settings.listen.port(), settings.data_dir),
            (2, PathBuf::from("from-option"))
        );
        let (settings, _) =
            super::settings(args(None), data_dir_of(None, Some("from-variable"))).unwrap();
        assert_eq!(
            (
                settings.listen.port(),
                settings.data_dir,
                settings.master_key_file
            ),
            (1, "from-file".into(), Some("m".into()))
        );

        let without = ServeArgs {
            config: None,
            ..args(None)
        };
        assert!(
            super::settings(without, data_dir_of(None, None))
                .unwrap()
                .1
                .is_none(),
            "no file differs from an empty file"
        );
        std::fs::write(&path, "[server]\nlisten = \"127.0.0.1:1\"\n").unwrap();
        assert!(
            super::settings(args(None), data_dir_of(None, None))
                .unwrap()
                .1
                .is_some()
        );
        let data_dir =
            |data_dir_of: DataDir| super::settings(args(None), data_dir_of).unwrap().0.data_dir;
        assert_eq!(
            data_dir(data_dir_of(None, Some("from-variable"))),
            PathBuf::from("from-variable")
        );
        assert_eq!(
            data_dir(data_dir_of(None, None)),
            ServerSettings::default().data_dir
        );
        std::fs::write(&path, "[server]\ndata_dir = \"egression-data\"\n").unwrap();
        assert_eq!(
            data_dir(data_dir_of(None, Some("from-variable"))),
            PathBuf::from("egression-data"),
            "the file sets it"
        );
    }
}
