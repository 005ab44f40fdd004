//! Statements over many rows at once: fewer and larger ones are what makes the store fast.
//!
//! Only lists of placeholders vary in their text, never values.

use egression_core::domain::ids::JobSeq;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{SqliteQueryResult, SqliteRow};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::StoreError;

/// A statement being put together.
pub(super) type Statement = QueryBuilder<Sqlite>;

/// Rows in one statement. Small enough for SQLite's bound on placeholders whatever the columns, large enough to pay.
pub(super) const CHUNK: usize = 500;

/// `head VALUES (…), (…)`. There must be at least one row.
pub(super) fn values<R>(
    head: &str,
    rows: impl IntoIterator<Item = R>,
    push: impl FnMut(Separated<'_, Sqlite, &'static str>, R),
) -> Statement {
    let mut statement = Statement::new(head);
    statement.push_values(rows, push);
    statement
}

/// `head (?, ?, …)`.
pub(super) fn among(head: &str, jobs: impl IntoIterator<Item = JobSeq>) -> Statement {
    let mut statement = Statement::new(head);
    push_among(&mut statement, jobs);
    statement
}

/// `(?, ?, …)`.
pub(super) fn push_among(statement: &mut Statement, jobs: impl IntoIterator<Item = JobSeq>) {
    statement.push(" (");
    let mut list = statement.separated(", ");
    for job in jobs {
        list.push_bind(job.0);
    }
    statement.push(")");
}

/// Runs a statement whose text will hardly come again, so that it does not push others out of the cache.
pub(super) async fn run(mut statement: Statement, conn: &mut SqliteConnection) -> Result<SqliteQueryResult, StoreError> {
    Ok(statement.build().persistent(false).execute(conn).await?)
}

/// The same for its rows.
pub(super) async fn rows(mut statement: Statement, conn: &mut SqliteConnection) -> Result<Vec<SqliteRow>, StoreError> {
    Ok(statement.build().persistent(false).fetch_all(conn).await?)
}
