//! Statements over many rows: fewer and larger statements make the store fast.
//!
//! The rows are bound as one JSON array, so the text of a statement does not depend on their
//! number, and a connection compiles each statement once. Only bulks ([`insert`]) differ.

use std::fmt::Write as _;

use egression_core::domain::ids::JobSeq;
use serde::Serialize;

use crate::store::StoreError;
pub use crate::store::engine::sqlite::Statement;
use crate::store::engine::sqlite::{self, Connection, Query, Row};
use crate::store::engine::writer::WriteTx;

/// Rows per statement.
pub const CHUNK: usize = 500;

/// A row of values, as a JSON array.
pub struct ValueRow<'a> {
    json: &'a mut Vec<u8>,
    /// The expressions of the columns; only the first row adds them.
    columns: Option<&'a mut String>,
    place: usize,
}

impl ValueRow<'_> {
    pub fn push_bind<T: Serialize>(&mut self, value: T) -> &mut Self {
        self.push_json(value, "", "")
    }

    pub fn push_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.push_json(hex::encode(bytes), "unhex(", ")")
    }

    /// Adds a value that is the same in every row.
    pub fn push(&mut self, constant: &'static str) -> &mut Self {
        if let Some(columns) = &mut self.columns {
            columns.push_str(separator(columns.is_empty()));
            columns.push_str(constant);
        }
        self
    }

    fn push_json(&mut self, value: impl Serialize, before: &str, after: &str) -> &mut Self {
        if let Some(columns) = &mut self.columns {
            let separator = separator(columns.is_empty());
            // Writing to memory does not fail.
            let _ = write!(
                columns,
                "{separator}{before}value ->> {}{after}",
                self.place
            );
        }
        self.json
            .extend_from_slice(separator(self.place == 0).as_bytes());
        let _ = serde_json::to_writer(&mut *self.json, &value);
        self.place += 1;
        self
    }
}

const fn separator(first: bool) -> &'static str {
    if first { "" } else { ", " }
}

/// `head SELECT … FROM json_each(?1) WHERE TRUE`, one row of the selection for each of the rows.
/// There must be at least one row.
pub fn values<R>(
    head: &str,
    rows: impl IntoIterator<Item = R>,
    mut push: impl FnMut(&mut ValueRow<'_>, R),
) -> Statement {
    let (mut json, mut columns) = (vec![b'['], String::new());
    for (index, row) in rows.into_iter().enumerate() {
        let first = index == 0;
        json.extend_from_slice(if first { b"[" } else { b"], [" });
        let mut values = ValueRow {
            json: &mut json,
            columns: first.then_some(&mut columns),
            place: 0,
        };
        push(&mut values, row);
    }
    json.extend_from_slice(b"]]");
    let mut statement = Statement::new(head);
    statement.push("SELECT ").push(columns);
    push_each(&mut statement, json);
    // Without a condition, SQLite takes the words of an upsert for those of a join.
    statement.push(" WHERE TRUE");
    statement
}

fn push_each(statement: &mut Statement, json: Vec<u8>) {
    // JSON is always UTF-8.
    let json = String::from_utf8(json).unwrap_or_default();
    statement.push(" FROM json_each(").push_bind(json).push(")");
}

/// The head, and the list of jobs in brackets.
pub fn among(head: &str, jobs: impl IntoIterator<Item = JobSeq>) -> Statement {
    let mut statement = Statement::new(head);
    push_among(&mut statement, jobs);
    statement
}

pub fn push_among(statement: &mut Statement, jobs: impl IntoIterator<Item = JobSeq>) {
    push_list(statement, jobs.into_iter().map(|job| job.0));
}

/// A list of numbers in brackets.
pub fn push_list(statement: &mut Statement, numbers: impl Iterator<Item = i64>) {
    let mut json = vec![b'['];
    for (place, number) in numbers.enumerate() {
        json.extend_from_slice(separator(place == 0).as_bytes());
        json.extend_from_slice(number.to_string().as_bytes());
    }
    json.push(b']');
    statement.push(" (SELECT value");
    push_each(statement, json);
    statement.push(")");
}

pub async fn run(statement: Statement, conn: &mut Connection) -> Result<u64, StoreError> {
    statement.build().execute(conn)
}

/// As [`run`], and returns the rows.
pub async fn rows(statement: Statement, conn: &mut Connection) -> Result<Vec<Row>, StoreError> {
    statement.build().fetch_all(conn)
}

/// Runs a statement, which binds the values of one row, for each of the rows: cheaper than JSON for
/// the many bytes of a bulk.
pub fn insert<R>(
    tx: &mut WriteTx,
    text: &'static str,
    rows: &[R],
    bind: impl Fn(Query, &R) -> Query,
) -> Result<(), StoreError> {
    for row in rows {
        bind(sqlite::query(text), row).execute(&mut tx.conn)?;
    }
    Ok(())
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
    conn: &mut Connection,
    head: &str,
    jobs: &[JobSeq],
) -> Result<Vec<Row>, StoreError> {
    let mut found = Vec::with_capacity(jobs.len());
    for chunk in jobs.chunks(CHUNK) {
        found.extend(rows(among(head, chunk.iter().copied()), conn).await?);
    }
    Ok(found)
}

/// Runs `head`, a selection of all of these rows, and `tail`. Returns the number of rows that it
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
        changed += run(statement, &mut tx.conn).await?;
    }
    Ok(changed)
}

/// The rows of `head`, a selection of all of these rows, and `tail`.
pub async fn rows_of_values<R: Sync>(
    conn: &mut Connection,
    head: &str,
    wanted: &[R],
    push: impl Fn(&mut ValueRow<'_>, &R) + Send,
    tail: &str,
) -> Result<Vec<Row>, StoreError> {
    let mut found = Vec::with_capacity(wanted.len());
    for chunk in wanted.chunks(CHUNK) {
        let mut statement = values(head, chunk, &push);
        statement.push(tail);
        found.extend(rows(statement, conn).await?);
    }
    Ok(found)
}
