//! Changes and questions of one statement. A bound value is copied, so the caller keeps its own.

use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::store::{Store, StoreError};

type Single = Query<'static, Sqlite, SqliteArguments>;

impl Store {
    /// Runs a change and returns the number of rows that it changed.
    pub(in crate::store) async fn execute(&self, change: Single) -> Result<u64, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move { Ok(change.execute(&mut tx.conn).await?.rows_affected()) })
        })
        .await
    }

    /// The rows of a question.
    pub(in crate::store) async fn all<T: Send + 'static>(
        &self,
        question: Single,
        read: impl Fn(&SqliteRow) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.read_statement(move |conn| {
            Box::pin(async move { question.fetch_all(conn).await?.iter().map(read).collect() })
        })
        .await
    }

    /// The row of a question that has one at most.
    pub(in crate::store) async fn one<T: Send + 'static>(
        &self,
        question: Single,
        read: impl Fn(&SqliteRow) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(question, read).await?.pop())
    }
}
