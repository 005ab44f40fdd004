//! The scenarios, one file each.

mod limits;
mod neighbors;

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use crate::report::Figure;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// How much of its limits a channel uses.
    Limits,
    /// The pace of a channel next to channels in trouble.
    Neighbors,
}

impl Scenario {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Runs it. The host keeps its files in the directory.
    pub(crate) async fn run(self, directory: &Path) -> Result<Vec<Figure>> {
        match self {
            Self::Limits => limits::run(directory).await,
            Self::Neighbors => neighbors::run(directory).await,
        }
    }
}
