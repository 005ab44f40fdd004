//! Statements over many rows at once: fewer and larger ones are what makes the store fast.
//!
//! Only lists of placeholders vary in their text, never values.

use egression_core::domain::ids::JobSeq;
use sqlx::query_builder::Separated;
use sqlx::{Encode, QueryBuilder, Type};

use super::StoreError;
use super::dialect::{Db, DbConnection, DbDone, DbRow};

/// A statement being put together.
pub(super) type Statement = QueryBuilder<Db>;

/// Rows in one statement. Small enough for SQLite's bound on placeholders whatever the columns,
/// large enough to pay.
pub(super) const CHUNK: usize = 500;

/// A row of values being put together.
pub(super) struct ValueRow<'a> {
    list: Separated<'a, Db, &'static str>,
    /// What a driver says of the values: a database that checks types has nothing else to tell by
    /// in a list of values.
    #[cfg(test)]
    types: Vec<String>,
}

impl ValueRow<'_> {
    pub(super) fn push_bind<'t, T: Encode<'t, Db> + Type<Db>>(&mut self, value: T) -> &mut Self {
        self.list.push_bind(value);
        #[cfg(test)]
        if super::tests::noting::begun() {
            self.types
                .push(sqlx::TypeInfo::name(&T::type_info()).to_owned());
        }
        self
    }

    /// Adds what is the same in every row.
    pub(super) fn push(&mut self, constant: &'static str) -> &mut Self {
        self.list.push(constant);
        self
    }
}

/// `head VALUES (…), (…)`. There must be at least one row.
pub(super) fn values<R>(
    head: &str,
    rows: impl IntoIterator<Item = R>,
    mut push: impl FnMut(&mut ValueRow<'_>, R),
) -> Statement {
    let mut statement = Statement::new(head);
    statement.push_values(rows, |list, values| {
        let mut row = ValueRow {
            list,
            #[cfg(test)]
            types: Vec::new(),
        };
        push(&mut row, values);
        #[cfg(test)]
        super::tests::noting::types(head, &row.types);
    });
    statement
}

/// The head, and a list in brackets with a placeholder for each job.
pub(super) fn among(head: &str, jobs: impl IntoIterator<Item = JobSeq>) -> Statement {
    let mut statement = Statement::new(head);
    push_among(&mut statement, jobs);
    statement
}

pub(super) fn push_among(statement: &mut Statement, jobs: impl IntoIterator<Item = JobSeq>) {
    statement.push(" (");
    let mut list = statement.separated(", ");
    for job in jobs {
        list.push_bind(job.0);
    }
    statement.push(")");
}

/// Runs a statement whose text will hardly come again, so that it does not push others out of the
/// cache.
pub(super) async fn run(
    mut statement: Statement,
    conn: &mut DbConnection,
) -> Result<DbDone, StoreError> {
    Ok(statement.build().persistent(false).execute(conn).await?)
}

/// The same for its rows.
pub(super) async fn rows(
    mut statement: Statement,
    conn: &mut DbConnection,
) -> Result<Vec<DbRow>, StoreError> {
    Ok(statement.build().persistent(false).fetch_all(conn).await?)
}
