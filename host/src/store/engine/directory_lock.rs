//! The operating system's lock on the data directory: one host per directory. The kernel releases
//! it when the holder dies. A second file names the holder, for error messages only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use egression_core::time::Wall;

use crate::store::StoreError;

/// Holds the lock until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock without waiting. Errors: [`StoreError::Held`] if another store has it;
    /// [`StoreError::Database`] if the directory cannot be written.
    pub fn take(directory: &Path, now: Wall) -> Result<Self, StoreError> {
        let unusable =
            |error: io::Error| StoreError::Database(format!("{}: {error}", directory.display()));
        std::fs::create_dir_all(directory).map_err(unusable)?;
        let holder = directory.join("egression.holder");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("egression.lock"))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Held {
                    holder: read_holder(&holder),
                });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let text = format!("process {} since {}", std::process::id(), now.to_rfc3339());
        std::fs::write(&holder, text).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

fn read_holder(file: &Path) -> String {
    std::fs::read_to_string(file)
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "another process".to_owned())
}
