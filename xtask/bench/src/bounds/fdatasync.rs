//! The time of an fdatasync after a page was appended to a file, as a commit does it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::clock::{now_ns, seconds_since};
use crate::percentiles::Percentiles;

const SAMPLES: usize = 200;
const PAGE: [u8; 4096] = [7; 4096];

/// A file to append to.
#[derive(Debug)]
pub(crate) struct SyncedFile(File);

impl SyncedFile {
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        Ok(Self(File::create(directory.join("fdatasync"))?))
    }

    /// Appends a page and waits for the disk. Milliseconds.
    pub(crate) fn sync_ms(&mut self) -> Result<f64> {
        self.0.write_all(&PAGE)?;
        let began = now_ns();
        self.0.sync_data()?;
        Ok(seconds_since(began) * 1e3)
    }
}

/// Milliseconds.
pub(crate) fn measure(directory: &Path) -> Result<Percentiles> {
    let mut file = SyncedFile::create(directory)?;
    let values: Result<_> = (0..SAMPLES).map(|_| file.sync_ms()).collect();
    Ok(Percentiles::of(values?))
}
