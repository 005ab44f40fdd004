//! What SQLite and PostgreSQL write differently.
//!
//! Every statement of the store is one text that both understand, but for what is named here:
//! another database is another answer in this file (with its connections in `connect.rs` and its
//! codes in `error.rs`), and not a second set of statements. The host runs on SQLite;
//! `tests/portable.rs` has a PostgreSQL prepare each statement.

pub(super) type Db = sqlx::Sqlite;
pub(super) type DbConnection = sqlx::SqliteConnection;
pub(super) type DbPool = sqlx::SqlitePool;
/// A row of an answer.
pub(super) type DbRow = sqlx::sqlite::SqliteRow;
pub(super) type DbDone = sqlx::sqlite::SqliteQueryResult;

/// Begins a transaction that writes. SQLite takes its lock at once, so that no change fails half
/// way because of another process; with PostgreSQL it is `BEGIN`.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// The string pairs of the JSON object in a text column, as rows of `key` and `value`; none if it
/// is null. (An arrow, which both have, would not do for every key: SQLite takes `$.a` and `[0]`
/// for paths.)
macro_rules! json_pairs {
    ($column:literal) => {
        concat!("json_each(", $column, ")")
    };
}

pub(super) use json_pairs;

/// The switch: a statement as PostgreSQL has it, with its name for [`json_pairs`], and with numbers
/// where sqlx's builder leaves them out for SQLite. Only the tests turn it as yet.
#[cfg(test)]
pub(super) fn for_postgres(statement: &str) -> String {
    let mut number = 0;
    let mut code = |text: &str| {
        let mut parts = text.split('?');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            number += 1;
            text.push_str(&format!("${number}{part}"));
        }
        while let Some((before, (column, after))) = text
            .split_once("json_each(")
            .and_then(|(before, call)| Some((before, call.split_once(')')?)))
        {
            text = format!("{before}json_each_text(CAST({column} AS JSON)){after}");
        }
        text
    };
    // Every second piece stands in quotes.
    let pieces = statement.split('\'').enumerate().map(|(index, piece)| {
        if index % 2 == 0 {
            code(piece)
        } else {
            piece.to_owned()
        }
    });
    pieces.collect::<Vec<_>>().join("'")
}
