//! What SQLite and PostgreSQL write differently.
//!
//! Every statement of the store is one text that both understand, but for what is named here: another database is another answer
//! in this file (with its connections in `connect.rs` and its codes in `error.rs`), and not a second set of statements. The host
//! runs on SQLite.

/// The database.
pub(super) type Db = sqlx::Sqlite;
/// A connection to it.
pub(super) type DbConnection = sqlx::SqliteConnection;
/// Connections for questions.
pub(super) type DbPool = sqlx::SqlitePool;
/// A row of an answer.
pub(super) type DbRow = sqlx::sqlite::SqliteRow;
/// How a change went.
pub(super) type DbDone = sqlx::sqlite::SqliteQueryResult;

/// Begins a transaction that writes. SQLite takes its lock at once, so that no change fails half way because of another
/// process; with PostgreSQL it is `BEGIN`.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";

/// The string pairs of the JSON object in a text column, as rows of `key` and `value`; none if it is null. (An arrow, which both
/// have, would not do for every key: SQLite takes `$.a` and `[0]` for paths.)
macro_rules! json_pairs {
    ($column:literal) => {
        concat!("json_each(", $column, ")")
    };
}

pub(super) use json_pairs;
