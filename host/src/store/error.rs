//! What can go wrong in the store, with the decision it carries.

/// A failed question or change.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the data directory.
    #[error("the data directory is in use by {holder}")]
    Held {
        /// Process id and start, as the holder wrote them.
        holder: String,
    },
    /// The disk is full. Nothing acknowledged is lost; it works again when there is room.
    #[error("the disk is full")]
    Full,
    /// The disk refuses: a quota, a bound on files, a defect. Nothing acknowledged is lost; it
    /// works again when the disk does.
    #[error("the disk refuses: {0}")]
    Disk(String),
    /// The database is locked or does not answer in time; worth trying again.
    #[error("the database is busy")]
    Busy,
    /// Too much is waiting for the writer; worth trying again.
    #[error("too many writes are waiting (bound `store.write_queue`)")]
    Overloaded,
    /// The idempotency key belongs to another execution, which was sealed first. Nothing of this
    /// one was sealed.
    #[error("the idempotency key was used by another request")]
    KeyUsed,
    /// A connection that jobs of the execution go to was removed while it was received. Nothing of
    /// it was sealed.
    #[error("a connection of the request's jobs was removed while the request was received")]
    ConnectionGone,
    #[error("database: {0}")]
    Database(String),
    /// A row holds what no version of this program wrote.
    #[error("unreadable row: {0}")]
    Corrupt(String),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The same call may work later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Full | Self::Disk(_) | Self::Busy | Self::Overloaded
        )
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => from_code(error.code().as_deref(), error.message()),
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Closed,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::Corrupt(error.to_string())
            }
            other => Self::Database(other.to_string()),
        }
    }
}

/// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>); the extended ones keep
/// them in their low byte.
fn from_code(code: Option<&str>, message: &str) -> StoreError {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    // A quota and a bound on the size of files are this, not `FULL`: only ENOSPC is that.
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    match code
        .and_then(|code| code.parse::<u32>().ok())
        .map(|code| code & 0xff)
    {
        Some(BUSY | LOCKED) => StoreError::Busy,
        Some(FULL) => StoreError::Full,
        Some(IOERR) => StoreError::Disk(message.to_owned()),
        _ => StoreError::Database(message.to_owned()),
    }
}
