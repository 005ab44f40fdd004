//! Changes and questions of one statement. A bound value is copied, so the caller keeps its own.

use crate::store::engine::sqlite::{Query, Row};
use crate::store::{Store, StoreError};

impl Store {
    /// Runs a change and returns the number of rows that it changed.
    pub(in crate::store) async fn execute(&self, change: Query) -> Result<u64, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move { change.execute(&mut tx.conn) })
        })
        .await
    }

    /// The rows of a question.
    pub(in crate::store) async fn all<T: Send + 'static>(
        &self,
        question: Query,
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.read_statement(move |conn| {
            Box::pin(async move { question.fetch_all(conn)?.iter().map(read).collect() })
        })
        .await
    }

    /// The row of a question that has one at most.
    pub(in crate::store) async fn one<T: Send + 'static>(
        &self,
        question: Query,
        read: impl Fn(&Row) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(question, read).await?.pop())
    }
}
