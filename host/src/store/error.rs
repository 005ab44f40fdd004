//! The store's errors, each with the decision that it carries.

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("the data directory is in use by {holder}")]
    Held {
        /// Process id and start, as the holder wrote them down.
        holder: String,
    },
    /// The database is not the one that the data directory had, or is not complete. The text says
    /// what to do.
    #[error("{0}")]
    Refused(String),
    /// The disk is full. Acknowledged changes are safe; the store resumes when there is room.
    #[error("the disk is full")]
    Full,
    /// A disk error: a quota, a bound on file size, a defect. Acknowledged changes are safe; the
    /// store resumes when the disk works again.
    #[error("disk error: {0}")]
    Disk(String),
    /// The database is locked or does not answer in time. Transient.
    #[error("the database is busy")]
    Busy,
    /// Too many changes wait for the writer. Transient.
    #[error("the write queue is full (`store.write_queue`)")]
    Overloaded,
    /// Another execution was sealed first under the idempotency key. Nothing of this one was
    /// sealed.
    #[error("the idempotency key was used by another request")]
    KeyUsed,
    /// A connection of the execution's jobs was removed before the seal. Nothing was sealed.
    #[error("a connection of the request's jobs was removed during the request")]
    ConnectionGone,
    #[error("database: {0}")]
    Database(String),
    /// A row has content that no version of this program wrote, or a caller broke a rule of the
    /// store.
    #[error("unreadable row: {0}")]
    Corrupt(String),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// It concerns every change of a transaction, not only the one that met it.
    pub const fn is_of_database(&self) -> bool {
        self.is_of_disk() || matches!(self, Self::Busy)
    }

    /// The disk takes no writes until somebody helps.
    pub const fn is_of_disk(&self) -> bool {
        matches!(self, Self::Full | Self::Disk(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, message) => from_code(
                code.extended_code,
                &message.unwrap_or_else(|| code.to_string()),
            ),
            other => Self::Database(other.to_string()),
        }
    }
}

/// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>); the extended ones keep
/// them in their low byte.
fn from_code(code: i32, message: &str) -> StoreError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READONLY: i32 = 8;
    // Quotas and bounds on file size are reported as this; only ENOSPC is `FULL`.
    const IOERR: i32 = 10;
    const FULL: i32 = 13;
    match code & 0xff {
        BUSY | LOCKED => StoreError::Busy,
        FULL => StoreError::Full,
        READONLY | IOERR => StoreError::Disk(message.to_owned()),
        _ => StoreError::Database(message.to_owned()),
    }
}
