//! Statements over many rows: fewer and larger statements make the store fast.
//!
//! Only the lists of placeholders vary in a text, never values.

use egression_core::domain::ids::JobSeq;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{SqliteQueryResult, SqliteRow};
use sqlx::{Encode, QueryBuilder, Sqlite, SqliteConnection, Type};

use crate::store::StoreError;
use crate::store::engine::writer::WriteTx;

pub type Statement = QueryBuilder<Sqlite>;

/// Rows per statement: below SQLite's bound on placeholders for any number of columns.
pub const CHUNK: usize = 500;

pub struct ValueRow<'a> {
    list: Separated<'a, Sqlite, &'static str>,
}

impl ValueRow<'_> {
    pub fn push_bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        self.list.push_bind(value);
        self
    }

    /// Adds a value that is the same in every row.
    pub fn push(&mut self, constant: &'static str) -> &mut Self {
        self.list.push(constant);
        self
    }
}

/// `head VALUES (…), (…)`. There must be at least one row.
pub fn values<R>(
    head: &str,
    rows: impl IntoIterator<Item = R>,
    mut push: impl FnMut(&mut ValueRow<'_>, R),
) -> Statement {
    let mut statement = Statement::new(head);
    statement.push_values(rows, |list, values| push(&mut ValueRow { list }, values));
    statement
}

/// The head, and a list in brackets with a placeholder for each job.
pub fn among(head: &str, jobs: impl IntoIterator<Item = JobSeq>) -> Statement {
    let mut statement = Statement::new(head);
    push_among(&mut statement, jobs);
    statement
}

pub fn push_among(statement: &mut Statement, jobs: impl IntoIterator<Item = JobSeq>) {
    statement.push(" (");
    let mut list = statement.separated(", ");
    for job in jobs {
        list.push_bind(job.0);
    }
    statement.push(")");
}

/// Runs a statement without caching it: its text hardly ever repeats.
pub async fn run(
    mut statement: Statement,
    conn: &mut SqliteConnection,
) -> Result<SqliteQueryResult, StoreError> {
    Ok(statement.build().persistent(false).execute(conn).await?)
}

/// As [`run`], and returns the rows.
pub async fn rows(
    mut statement: Statement,
    conn: &mut SqliteConnection,
) -> Result<Vec<SqliteRow>, StoreError> {
    Ok(statement.build().persistent(false).fetch_all(conn).await?)
}

/// Runs `head`, which ends in `IN`, for all of these jobs.
pub async fn run_among(tx: &mut WriteTx, head: &str, jobs: &[JobSeq]) -> Result<(), StoreError> {
    for chunk in jobs.chunks(CHUNK) {
        run(among(head, chunk.iter().copied()), &mut tx.conn).await?;
    }
    Ok(())
}

/// The rows of `head`, which ends in `IN`, for all of these jobs.
pub async fn rows_among(
    conn: &mut SqliteConnection,
    head: &str,
    jobs: &[JobSeq],
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut found = Vec::with_capacity(jobs.len());
    for chunk in jobs.chunks(CHUNK) {
        found.extend(rows(among(head, chunk.iter().copied()), conn).await?);
    }
    Ok(found)
}

/// Runs `head VALUES (…), (…) tail` for all of these rows, and returns the number of rows that it
/// changed.
pub async fn run_values<R: Sync>(
    tx: &mut WriteTx,
    head: &str,
    rows: &[R],
    push: impl Fn(&mut ValueRow<'_>, &R) + Send,
    tail: &str,
) -> Result<u64, StoreError> {
    let mut changed = 0;
    for chunk in rows.chunks(CHUNK) {
        let mut statement = values(head, chunk, &push);
        statement.push(tail);
        changed += run(statement, &mut tx.conn).await?.rows_affected();
    }
    Ok(changed)
}

/// The rows of `head VALUES (…), (…) tail` for all of these rows.
pub async fn rows_of_values<R: Sync>(
    conn: &mut SqliteConnection,
    head: &str,
    wanted: &[R],
    push: impl Fn(&mut ValueRow<'_>, &R) + Send,
    tail: &str,
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut found = Vec::with_capacity(wanted.len());
    for chunk in wanted.chunks(CHUNK) {
        let mut statement = values(head, chunk, &push);
        statement.push(tail);
        found.extend(rows(statement, conn).await?);
    }
    Ok(found)
}
