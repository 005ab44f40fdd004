//! One host per store. The operating system's locks lie on the data directory and on the database
//! file, so no deleted file lets a second host in. The kernel releases them when the holder dies. A
//! file names the holder, for error messages only.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use egression_core::time::Wall;

use crate::store::StoreError;

/// Holds the lock of a data directory until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _directory: File,
}

/// Holds both locks until dropped. It must outlive the database's connections: SQLite's own locks
/// end when any descriptor of the file is closed.
#[derive(Debug)]
pub struct StoreLock {
    _directory: DirectoryLock,
    _database: File,
}

impl DirectoryLock {
    /// Takes the lock without waiting. Errors: [`StoreError::Held`] if another store has it;
    /// [`StoreError::Database`] if the directory cannot be written.
    pub fn take(directory: &Path, now: Wall) -> Result<Self, StoreError> {
        let unusable = |error| unusable(directory, &error);
        std::fs::create_dir_all(directory).map_err(unusable)?;
        let holder = directory.join("egression.holder");
        let file = File::open(directory).map_err(unusable)?;
        lock(&file, directory, || read_holder(&holder))?;
        let text = format!("process {} since {}", std::process::id(), now.to_rfc3339());
        std::fs::write(&holder, text).map_err(unusable)?;
        Ok(Self { _directory: file })
    }

    /// Also locks the database, which another directory can contain as a link. Creates an empty
    /// file if there is none.
    pub fn and_database(self, database: &Path) -> Result<StoreLock, StoreError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(database)
            .map_err(|error| unusable(database, &error))?;
        lock(&file, database, || {
            "a process that uses the database through another directory".to_owned()
        })?;
        Ok(StoreLock {
            _directory: self,
            _database: file,
        })
    }
}

fn lock(file: &File, path: &Path, holder: impl FnOnce() -> String) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::Held { holder: holder() }),
        Err(TryLockError::Error(error)) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Database(format!("{}: {error}", path.display()))
}

fn read_holder(file: &Path) -> String {
    std::fs::read_to_string(file)
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "another process".to_owned())
}
