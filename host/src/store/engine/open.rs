//! Opening the store: the lock, the migrated database, the writer, and what a crash left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};

use crate::clock::Clock;
use crate::store::engine::directory_lock::DirectoryLock;
use crate::store::engine::identity::{DATABASE, Expected, Found, Marker};
use crate::store::engine::readers::Readers;
use crate::store::engine::store::{Inner, Store};
use crate::store::engine::write_ahead_log::{self, WriteAheadLog};
use crate::store::engine::writer::{Published, Queues, WriteTx, Writer};
use crate::store::engine::{connect, recovery};
use crate::store::error::StoreError;
use crate::store::options::StoreOptions;

/// Announcements that a receiver of [`Store::changes`] may lag behind before it must read again.
const CHANGES_KEPT: usize = 4096;

impl Store {
    /// Whether the data directory has a database.
    pub fn is_in(data_dir: &Path) -> bool {
        data_dir.join(DATABASE).exists()
    }

    /// As [`Store::open_with`], with the default options.
    #[cfg(test)]
    pub async fn open(data_dir: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with(data_dir, clock, StoreOptions::default()).await
    }

    /// Locks the data directory, opens or creates `egression.db` in it, migrates it, removes
    /// unsealed executions, and continues interrupted cancels. Open intents stay open:
    /// [`Store::open_intents`]. Errors: [`StoreError::Held`] with the holder if another host has
    /// the lock; [`StoreError::Refused`] if the directory had another database, or more of this
    /// one.
    pub async fn open_with(
        data_dir: &Path,
        clock: Clock,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(data_dir, clock.wall())?;
        let expected = Expected::read(data_dir)?;
        expected.check_file()?;
        let file = data_dir.join(DATABASE);
        let lock = lock.and_database(&file)?;
        let mut conn = connect::writer(&file, &options)?;
        let found = Found::read(&mut conn).await?;
        if let Err(refused) = expected.check(&found) {
            // Before the person who reads this puts another file there.
            drop(conn);
            return Err(refused);
        }
        let is_new = matches!(found, Found::Empty);
        connect::migrate(&file).await?;
        let identity = found.or_create(&mut conn).await?;
        if is_new {
            // From now on, the file alone shows that it is a store.
            write_ahead_log::empty(&mut conn).await?;
        }
        let marker = Marker::write(data_dir, &identity)?;
        let last_number = recovery::last_number(&mut conn).await?;
        let tx = WriteTx::new(conn, last_number, &options, clock.clone());
        let (first, first_changes) = mpsc::unbounded_channel();
        let (queue, rest) = mpsc::channel(options.write_queue);
        let queues = Queues {
            first: first_changes,
            rest,
        };
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let published = Arc::new(Published {
            backlog: AtomicI64::new(0),
            pending_notifications: AtomicI64::new(0),
            changes,
            write_failure: Mutex::default(),
        });
        let readers = Readers::new(file.clone(), options);
        let writer = Writer {
            tx,
            published: Arc::clone(&published),
            group_rows: options.group_rows,
            commits: identity.commits,
            marker,
            log: WriteAheadLog::of(&file, &options),
            readers: readers.clone(),
            lock,
        };
        let writer = tokio::sync::Mutex::new(Some(writer.start(queues)?));
        let store = Self {
            inner: Arc::new(Inner {
                clock,
                options,
                readers,
                first,
                queue,
                settling: Arc::default(),
                opening: Arc::default(),
                claiming: Arc::default(),
                published,
                notifying: tokio::sync::Mutex::default(),
                writer,
                #[cfg(test)]
                reads: std::sync::atomic::AtomicU64::default(),
            }),
        };
        store.recover().await?;
        Ok(store)
    }
}
