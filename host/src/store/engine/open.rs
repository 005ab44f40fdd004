//! Opening the store: the lock, the migrated database, the writer, and what a crash left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::sync::{broadcast, mpsc};

use crate::clock::Clock;
use crate::store::engine::directory_lock::DirectoryLock;
use crate::store::engine::store::{Inner, Store};
use crate::store::engine::writer::{self, Published, WriteTx};
use crate::store::engine::{connect, recovery};
use crate::store::error::StoreError;
use crate::store::options::StoreOptions;

/// Announcements that a receiver of [`Store::changes`] may lag behind before it must read again.
const CHANGES_KEPT: usize = 4096;

impl Store {
    /// As [`Store::open_with`], with the default options.
    #[cfg(test)]
    pub async fn open(data_dir: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with(data_dir, clock, StoreOptions::default()).await
    }

    /// Locks the data directory, opens or creates `egression.db` in it, migrates it, removes
    /// unsealed executions, and continues interrupted cancels. Open intents stay open:
    /// [`Store::open_intents`]. Errors: [`StoreError::Held`] with the holder if another host has
    /// the lock.
    pub async fn open_with(
        data_dir: &Path,
        clock: Clock,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(data_dir, clock.wall())?;
        let file = data_dir.join("egression.db");
        let mut conn = connect::writer(&file, &options).await?;
        let last_number = recovery::last_number(&mut conn).await?;
        let tx = WriteTx::new(conn, last_number, &options, clock.clone());
        let (queue, waiting) = mpsc::channel(options.write_queue);
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let published = Arc::new(Published {
            backlog: AtomicI64::new(0),
            pending_notifications: AtomicI64::new(0),
            changes,
        });
        let writer = tokio::spawn(writer::run(
            tx,
            waiting,
            Arc::clone(&published),
            options.group_rows,
            lock,
        ));
        let readers = connect::readers(&file, &options);
        let writer = tokio::sync::Mutex::new(Some(writer));
        let store = Self {
            inner: Arc::new(Inner {
                clock,
                options,
                readers,
                queue,
                published,
                notifying: tokio::sync::Mutex::default(),
                writer,
            }),
        };
        store.recover().await?;
        Ok(store)
    }
}
