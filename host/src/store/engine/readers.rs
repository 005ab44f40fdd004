//! The readers: a few connections, opened when they are needed, each used by one question at a time
//! on a thread for blocking work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::store::engine::connect;
use crate::store::engine::sqlite::Connection;
use crate::store::{StoreError, StoreOptions};
use crate::telemetry::layer_cpu::Layer;

#[derive(Clone, Debug)]
pub struct Readers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    options: StoreOptions,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(file: PathBuf, options: StoreOptions) -> Self {
        Self(Arc::new(Inner {
            file,
            free: Arc::new(Semaphore::new(options.readers as usize)),
            options,
            idle: Mutex::default(),
        }))
    }

    /// Runs a question. It runs to its end even if the caller stops waiting.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let patience = Duration::from_millis(self.0.options.busy_timeout_ms);
        let permit = tokio::time::timeout(patience, Arc::clone(&self.0.free).acquire_owned())
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(&self.0);
        let asking = tokio::task::spawn_blocking(move || {
            let idle = readers.idle.lock().pop();
            let mut conn = match idle {
                Some(conn) => conn,
                None => connect::reader(&readers.file, &readers.options)?,
            };
            let answer = Layer::StoreReaders.run(|| question(&mut conn));
            // A question that ended inside its transaction would spoil the next one's.
            if conn.0.is_autocommit() {
                readers.idle.lock().push(conn);
            }
            drop(permit);
            answer
        });
        asking.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits for the questions that run, and closes the connections. Later questions fail.
    pub async fn close(&self) {
        // An error means that it is closed.
        let running = self.0.free.acquire_many(self.0.options.readers).await;
        self.0.idle.lock().clear();
        self.0.free.close();
        drop(running);
    }
}
