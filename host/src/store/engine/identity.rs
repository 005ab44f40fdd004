//! Which store a data directory belongs to, so that a missing or older database is refused instead
//! of replaced by an empty one.
//!
//! The database and the marker `egression.store` both contain the store's id and count its commits.
//! The writer counts in the transaction, and afterwards in the marker. So the marker is never ahead
//! of a complete database, however the host died; a database that is behind its marker lacks its
//! write-ahead log, or is an older copy.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::engine::sqlite::{self, Connection};

/// The database in the data directory.
pub const DATABASE: &str = "egression.db";
const MARKER: &str = "egression.store";
/// Only a host that had a store writes these. (The master key can precede the first start.)
const TRACES: [&str; 3] = [MARKER, "admin.key", "connectors"];
const LOG: &str = "egression.db-wal";

/// A store and the number of its commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    store: String,
    pub commits: i64,
}

/// What the data directory knows of its store without the database.
pub struct Expected {
    directory: PathBuf,
    marker: Option<Identity>,
}

/// What the database says.
pub enum Found {
    /// It has no tables.
    Empty,
    /// It has tables and no identity yet.
    Unnamed,
    Named(Identity),
}

impl Expected {
    /// Errors: the marker is unreadable.
    pub fn read(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(MARKER);
        let unreadable = |reason: String| {
            StoreError::Refused(format!(
                "{} is unreadable ({reason}); if the database next to it is the right one, delete \
                 this file and start again",
                path.display()
            ))
        };
        let marker = match std::fs::read(&path) {
            Ok(text) => {
                Some(serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(error.to_string())),
        };
        Ok(Self {
            directory: directory.to_owned(),
            marker,
        })
    }

    /// Before the database is created. Errors: there is none, but there was one.
    pub fn check_file(&self) -> Result<(), StoreError> {
        let state = match std::fs::metadata(self.database()) {
            Ok(file) if file.len() > 0 => return Ok(()),
            Ok(_) => "is empty",
            Err(_) => "is missing",
        };
        self.check_new(state, TRACES.into_iter().chain([LOG]))
    }

    /// Errors: the database is empty, foreign, or behind the marker.
    pub fn check(&self, found: &Found) -> Result<(), StoreError> {
        let (database, marker) = (self.database(), self.directory.join(MARKER));
        let (database, marker) = (database.display(), marker.display());
        match (found, &self.marker) {
            // A first start that was killed leaves such a file, with a log.
            (Found::Empty, _) => self.check_new("is empty", TRACES.into_iter()),
            (_, None) => Ok(()),
            (Found::Named(found), Some(expected)) if found.store == expected.store => {
                if found.commits >= expected.commits {
                    return Ok(());
                }
                let missing = expected.commits - found.commits;
                Err(StoreError::Refused(format!(
                    "{database} is not complete: the newest {missing} commits are missing. After a \
                     host was killed they are in {database}-wal: put that file back next to the \
                     database. If you restored an older backup, delete {marker} and start again; \
                     what was accepted after the backup is lost"
                )))
            }
            (_, Some(expected)) => Err(StoreError::Refused(format!(
                "{database} is not the database of this data directory, whose store is {} \
                 ({marker}). Put the right one back. If this database shall replace it, delete \
                 {marker} and start again",
                expected.store
            ))),
        }
    }

    fn check_new(
        &self,
        state: &str,
        mut traces: impl Iterator<Item = &'static str>,
    ) -> Result<(), StoreError> {
        let Some(trace) = traces.find(|name| self.directory.join(name).exists()) else {
            return Ok(());
        };
        let database = self.database();
        Err(StoreError::Refused(format!(
            "{database} {state}, but {} shows that a store was here. Put {database} back, with \
             {database}-wal if that exists, or restore a backup into an empty directory. For a new \
             and empty store, use an empty directory",
            self.directory.join(trace).display(),
            database = database.display(),
        )))
    }

    fn database(&self) -> PathBuf {
        self.directory.join(DATABASE)
    }
}

impl Found {
    pub async fn read(conn: &mut Connection) -> Result<Self, StoreError> {
        let tables: Vec<String> =
            sqlite::query("SELECT name FROM sqlite_schema WHERE type = 'table'")
                .scalars(&mut *conn)?;
        if tables.is_empty() {
            return Ok(Self::Empty);
        }
        if !tables.iter().any(|name| name == "meta") {
            return Ok(Self::Unnamed);
        }
        let store: Option<String> = sqlite::query("SELECT value FROM meta WHERE name = 'store'")
            .optional_scalar(&mut *conn)?;
        let Some(store) = store else {
            return Ok(Self::Unnamed);
        };
        let commits =
            sqlite::query("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'commits'")
                .scalar(conn)?;
        Ok(Self::Named(Identity { store, commits }))
    }

    /// The identity of the migrated database; a new one if it has none.
    pub async fn or_create(self, conn: &mut Connection) -> Result<Identity, StoreError> {
        if let Self::Named(identity) = self {
            return Ok(identity);
        }
        let identity = Identity {
            store: Uuid::new_v4().to_string(),
            commits: 0,
        };
        conn.batch("BEGIN")?;
        sqlite::query("INSERT INTO meta (name, value) VALUES ('store', ?1), ('commits', ?2)")
            .bind(&identity.store)
            .bind(identity.commits)
            .execute(&mut *conn)?;
        conn.batch("COMMIT")?;
        Ok(identity)
    }
}

/// The number of the commit that this transaction becomes.
pub async fn count(conn: &mut Connection, commits: i64) -> Result<(), StoreError> {
    sqlite::query("UPDATE meta SET value = ?1 WHERE name = 'commits'")
        .bind(commits)
        .execute(conn)?;
    Ok(())
}

/// The marker in the data directory, open to count commits.
#[derive(Debug)]
pub struct Marker {
    file: File,
    store: String,
}

impl Marker {
    /// Writes the marker durably.
    pub fn write(directory: &Path, identity: &Identity) -> Result<Self, StoreError> {
        let path = directory.join(MARKER);
        let new = directory.join("egression.store.new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text(identity).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(directory)?.sync_all()?;
            Ok(file)
        };
        let file = write().map_err(|error: io::Error| {
            StoreError::Database(format!("{}: {error}", path.display()))
        })?;
        Ok(Self {
            file,
            store: identity.store.clone(),
        })
    }

    /// Counts a commit, without waiting for the disk: the content survives the end of the process,
    /// and an older number does no harm.
    pub fn count(&self, commits: i64) {
        let identity = Identity {
            store: self.store.clone(),
            commits,
        };
        if let Err(error) = self.file.write_all_at(text(&identity).as_bytes(), 0) {
            tracing::debug!(%error, "the commit was not counted in the marker");
        }
    }
}

/// Of fixed length, so that a new number replaces the old one in place.
fn text(identity: &Identity) -> String {
    format!(
        "{{\"store\":\"{}\",\"commits\":{:>20}}}\n",
        identity.store, identity.commits
    )
}
