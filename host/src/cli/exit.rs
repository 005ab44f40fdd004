//! The exit codes and errors of commands.

use std::path::Path;
use std::process::ExitCode;

use super::client::ClientError;
use crate::app::AppError;
use crate::settings::file::FileError;
use crate::telemetry::TelemetryError;

/// The exit codes as `--help` shows them.
pub(super) const HELP: &str = "\
Exit codes:
    0  done
    1  failed
    2  invalid command line or file
    3  host unreachable
    4  request refused by the host
    5  the watched execution ended with errors
  130  interrupted";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    /// Any other failure.
    Failed = 1,
    /// Invalid command line or file.
    Usage = 2,
    Unreachable = 3,
    Refused = 4,
    /// The watched execution ended with errors.
    EndedWithErrors = 5,
    Interrupted = 130,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("{path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Shop(#[from] egression_sandbox::StartError),
    #[error("interrupted; the host continues with accepted jobs")]
    Interrupted,
}

impl CommandError {
    /// Why a file could not be read.
    pub(super) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Read { path, source }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Client(error) => error.exit(),
            Self::File(_) | Self::Read { .. } | Self::Usage(_) => Exit::Usage,
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
            Self::App(_) | Self::Telemetry(_) | Self::Output(_) | Self::Shop(_) => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// A reader that closes the pipe early (`| head`) is not an error.
    pub(super) fn is_silent(&self) -> bool {
        self.exit() == Exit::Done
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
