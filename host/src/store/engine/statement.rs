//! Statements over many rows at once: fewer and larger ones are what makes the store fast.
//!
//! Only lists of placeholders vary in their text, never values.

use egression_core::domain::ids::JobSeq;
use sqlx::query_builder::Separated;
use sqlx::sqlite::{SqliteQueryResult, SqliteRow};
use sqlx::{Encode, QueryBuilder, Sqlite, SqliteConnection, Type};

use crate::store::StoreError;

/// A statement being put together.
pub(in crate::store) type Statement = QueryBuilder<Sqlite>;

/// Rows in one statement. Small enough for SQLite's bound on placeholders whatever the columns,
/// large enough to pay.
pub(in crate::store) const CHUNK: usize = 500;

/// A row of values being put together.
pub(in crate::store) struct ValueRow<'a> {
    list: Separated<'a, Sqlite, &'static str>,
}

impl ValueRow<'_> {
    pub(in crate::store) fn push_bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(
        &mut self,
        value: T,
    ) -> &mut Self {
        self.list.push_bind(value);
        self
    }

    /// Adds what is the same in every row.
    pub(in crate::store) fn push(&mut self, constant: &'static str) -> &mut Self {
        self.list.push(constant);
        self
    }
}

/// `head VALUES (…), (…)`. There must be at least one row.
pub(in crate::store) fn values<R>(
    head: &str,
    rows: impl IntoIterator<Item = R>,
    mut push: impl FnMut(&mut ValueRow<'_>, R),
) -> Statement {
    let mut statement = Statement::new(head);
    statement.push_values(rows, |list, values| push(&mut ValueRow { list }, values));
    statement
}

/// The head, and a list in brackets with a placeholder for each job.
pub(in crate::store) fn among(head: &str, jobs: impl IntoIterator<Item = JobSeq>) -> Statement {
    let mut statement = Statement::new(head);
    push_among(&mut statement, jobs);
    statement
}

pub(in crate::store) fn push_among(
    statement: &mut Statement,
    jobs: impl IntoIterator<Item = JobSeq>,
) {
    statement.push(" (");
    let mut list = statement.separated(", ");
    for job in jobs {
        list.push_bind(job.0);
    }
    statement.push(")");
}

/// Runs a statement whose text will hardly come again, so that it does not push others out of the
/// cache.
pub(in crate::store) async fn run(
    mut statement: Statement,
    conn: &mut SqliteConnection,
) -> Result<SqliteQueryResult, StoreError> {
    Ok(statement.build().persistent(false).execute(conn).await?)
}

/// The same for its rows.
pub(in crate::store) async fn rows(
    mut statement: Statement,
    conn: &mut SqliteConnection,
) -> Result<Vec<SqliteRow>, StoreError> {
    Ok(statement.build().persistent(false).fetch_all(conn).await?)
}
