//! The product's own schema, filled by a bare loop: the rows that the host wrote for accepted jobs,
//! inserted into a new database with the same schema, in groups, with one prepared statement per
//! table. It is independent of the schema's content.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::clock::own_cpu_seconds;

/// Rows of one table in a transaction: a chunk of a bulk.
const GROUP: i64 = 1_000;

/// Jobs per CPU second, for a database of a stopped host that accepted this many jobs.
pub(crate) async fn jobs_per_cpu_second(
    database: &Path,
    jobs: usize,
    directory: &Path,
) -> Result<f64> {
    let mut conn = SqliteConnectOptions::new()
        .filename(directory.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .pragma("cache_size", "-131072")
        .pragma("wal_autocheckpoint", "16000")
        .connect()
        .await?;
    let tables = prepare(&mut conn, database).await?;
    let began = own_cpu_seconds();
    let rounds = tables
        .iter()
        .map(|table| table.rows.div_euclid(GROUP) + 1)
        .max();
    for round in 0..rounds.unwrap_or(0) {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut conn).await?;
        for table in &tables {
            sqlx::query(AssertSqlSafe(table.insert.as_str()))
                .bind(round * GROUP)
                .bind((round + 1) * GROUP)
                .execute(&mut conn)
                .await?;
        }
        sqlx::query("COMMIT").execute(&mut conn).await?;
    }
    let used = own_cpu_seconds() - began;
    conn.close().await?;
    Ok(jobs as f64 / used)
}

struct Table {
    rows: i64,
    /// Inserts the rows after the first bound number, up to the second one.
    insert: String,
}

/// Creates the schema, and loads the rows into memory, so that the loop reads no disk.
async fn prepare(conn: &mut SqliteConnection, database: &Path) -> Result<Vec<Table>> {
    let database = database.to_str().context("the path is not Unicode")?;
    sqlx::query("ATTACH $1 AS host")
        .bind(database)
        .execute(&mut *conn)
        .await?;
    sqlx::query("ATTACH ':memory:' AS memory")
        .execute(&mut *conn)
        .await?;
    let schema = sqlx::query(
        "SELECT type, name, sql FROM host.sqlite_schema
         WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'table' \
         DESC",
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut tables = Vec::new();
    for part in schema {
        let (kind, name, sql): (String, String, String) =
            (part.try_get(0)?, part.try_get(1)?, part.try_get(2)?);
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *conn).await?;
        if kind == "table" {
            tables.extend(load(conn, &name).await?);
        }
    }
    sqlx::query("DETACH host").execute(conn).await?;
    Ok(tables)
}

/// None for a table without rows.
async fn load(conn: &mut SqliteConnection, name: &str) -> Result<Option<Table>> {
    let columns: Vec<String> =
        sqlx::query_scalar("SELECT '\"' || name || '\"' FROM pragma_table_info($1, 'main')")
            .bind(name)
            .fetch_all(&mut *conn)
            .await?;
    let columns = columns.join(", ");
    let copy = format!("CREATE TABLE memory.\"{name}\" AS SELECT {columns} FROM host.\"{name}\"");
    sqlx::query(AssertSqlSafe(copy)).execute(&mut *conn).await?;
    let count = format!("SELECT COUNT(*) FROM memory.\"{name}\"");
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count))
        .fetch_one(conn)
        .await?;
    let insert = format!(
        "INSERT INTO main.\"{name}\" ({columns})
         SELECT {columns} FROM memory.\"{name}\" WHERE rowid > $1 AND rowid <= $2"
    );
    Ok((rows > 0).then_some(Table { rows, insert }))
}
