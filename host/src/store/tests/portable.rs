//! Every statement of the store is understood by PostgreSQL, and by the tables that are there for
//! it.
//!
//! The other tests of the store run once more, in a process that notes the statements which SQLite
//! gets from them. No text of the store's code may be missing among them. A PostgreSQL with the
//! tables of `migrations/postgres` then prepares and plans each, and answers the questions, so that
//! the types of the answers are seen. The types of rows of values are those that a driver sends;
//! elsewhere a placeholder's type follows from where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::super::dialect::for_postgres;
use super::World;
use super::noting::{FOLDER, Note};
use super::postgres::Postgres;

const TABLES: &str = include_str!("../../../migrations/postgres/0001_spine.sql");

/// Fewer statements than this are not all of them.
const AT_LEAST: usize = 180;

/// How statements begin that no database prepares, or that are SQLite's own.
const NOT_PREPARED: [&str; 8] = [
    "BEGIN",
    "SAVEPOINT",
    "ROLLBACK",
    "RELEASE",
    "COMMIT",
    "PRAGMA",
    "EXPLAIN QUERY PLAN",
    "/* a test's own */",
];

/// What is in the statements of the migrations and of what keeps account of them.
const OF_MIGRATIONS: [&str; 5] = [
    "_sqlx_migrations",
    "CREATE TABLE",
    "ALTER TABLE",
    "CREATE INDEX",
    "TRIGGER",
];

/// Types of PostgreSQL (`pg_type.oid`) that rows are read as: a truth value, bytes, a `BIGINT`, a
/// text.
const READ: [&str; 4] = ["16", "17", "20", "25"];

#[test]
fn postgresql_understands_every_statement() {
    let noted = Noted::of_tests();
    assert!(
        noted.statements.len() >= AT_LEAST,
        "only {} statements were noted",
        noted.statements.len()
    );
    assert_eq!(
        noted.missing(),
        Vec::<String>::new(),
        "texts of the store that no test of it runs"
    );
    let wrong = noted.wrong();
    assert!(
        wrong.is_empty(),
        "not understood by PostgreSQL:\n\n{}",
        wrong.join("\n\n")
    );
}

/// The test above would pass as well if nothing were told.
#[test]
fn what_postgresql_does_not_understand_is_told() {
    let right = "WITH w (n) AS (VALUES (?)) SELECT seq, completed_at IS NULL FROM w JOIN execution ON seq = n WHERE operation <> ?";
    let wrong = [
        (
            "SELECT min(seq, ?) FROM execution",
            "function min(bigint, unknown) does not exist",
        ),
        (
            "SELECT sum(total) FROM progress",
            "a column of another type",
        ),
        (
            "INSERT INTO payload (job_id, body) VALUES (?, ?) ON CONFLICT (body) DO NOTHING",
            "there is no unique or exclusion constraint",
        ),
        (
            "WITH w (t) AS (VALUES (?)) SELECT seq FROM w JOIN execution ON seq = t",
            "operator does not exist: bigint = text",
        ),
    ];
    let statements = std::iter::once(right)
        .chain(wrong.map(|(text, _)| text))
        .map(str::to_owned)
        .collect();
    let types = [("WITH w (n) AS (", "INTEGER"), ("WITH w (t) AS (", "TEXT")];
    let types = types
        .into_iter()
        .map(|(head, name)| (head.to_owned(), vec![name.to_owned()]))
        .collect();
    let told = Noted { statements, types }.wrong();
    assert_eq!(told.len(), wrong.len(), "{}", told.join("\n\n"));
    for (text, reason) in wrong {
        assert!(
            told.iter().any(|told| told.contains(reason)),
            "{text}\n\n{}",
            told.join("\n\n")
        );
    }
}

/// The statements of the store.
struct Noted {
    statements: Vec<String>,
    /// By what is before a list of values, the types of a row.
    types: BTreeMap<String, Vec<String>>,
}

impl Noted {
    /// Those that the other tests of the store run.
    fn of_tests() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tests = Command::new(std::env::current_exe().unwrap())
            .args(["store::tests::", "--skip", "store::tests::portable::"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        assert!(
            tests.status.success(),
            "{}",
            String::from_utf8_lossy(&tests.stdout)
        );
        let (mut statements, mut types) = (BTreeSet::new(), BTreeMap::new());
        for file in std::fs::read_dir(folder.path()).unwrap() {
            for line in std::fs::read_to_string(file.unwrap().path())
                .unwrap()
                .lines()
            {
                match serde_json::from_str(line).unwrap() {
                    Note::Statement(text) => drop(statements.insert(text)),
                    Note::Types(head, row) => drop(types.insert(head, row)),
                }
            }
        }
        let prepared = |text: &String| {
            !NOT_PREPARED.iter().any(|own| text.starts_with(own))
                && !OF_MIGRATIONS.iter().any(|words| text.contains(words))
        };
        Self {
            statements: statements.into_iter().filter(prepared).collect(),
            types,
        }
    }

    /// Texts of the store's code that are in none of the statements.
    fn missing(&self) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some());
        let texts = files.flat_map(|path| sql_of(&std::fs::read_to_string(path).unwrap()));
        texts
            .filter(|text| {
                !self
                    .statements
                    .iter()
                    .any(|statement| statement.contains(text.trim()))
            })
            .collect()
    }

    /// Those that PostgreSQL does not understand, with what it says.
    fn wrong(&self) -> Vec<String> {
        let postgres = with_tables();
        let script = self
            .statements
            .iter()
            .enumerate()
            .flat_map(|(number, text)| self.tried(number, text));
        let said = postgres.run(
            std::iter::once("SET plan_cache_mode = force_generic_plan".to_owned()).chain(script),
        );
        // Of one that could not be prepared nothing more is said.
        let errors = said
            .errors
            .iter()
            .filter(|error| !error.starts_with("ERROR:  prepared statement \"s"));
        errors
            .map(|error| self.with_text(error))
            .chain(self.unreadable(&said.answers))
            .collect()
    }

    /// The types of its first placeholders, as far as they stand in a list of values.
    fn declared(&self, statement: &str) -> Vec<&str> {
        let Some((head, list)) = statement.split_once("VALUES (") else {
            return Vec::new();
        };
        let (Some(types), Some((values, after))) = (self.types.get(head), list.split_once(')'))
        else {
            return Vec::new();
        };
        let row = types.iter().map(|name| match name.as_str() {
            "BOOLEAN" => "BOOLEAN",
            "INTEGER" => "BIGINT",
            "TEXT" => "TEXT",
            "BLOB" => "BYTEA",
            other => panic!("a value of the type {other} in {statement}"),
        });
        let rows = if after.starts_with(&format!(", ({values})")) {
            2
        } else {
            1
        };
        row.collect::<Vec<_>>().repeat(rows)
    }

    /// A statement is prepared and planned, and a question answered.
    fn tried(&self, number: usize, statement: &str) -> Vec<String> {
        let text = for_postgres(statement);
        let declared = self.declared(statement);
        let types = if declared.is_empty() {
            String::new()
        } else {
            format!(" ({})", declared.join(", "))
        };
        let placeholders = text
            .split('$')
            .skip(1)
            .filter_map(|after| {
                after
                    .split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse()
                    .ok()
            })
            .max()
            .unwrap_or(0);
        let nulls = if placeholders == 0 {
            String::new()
        } else {
            format!("({})", vec!["NULL"; placeholders].join(", "))
        };
        let mut tried = vec![
            format!("PREPARE s{number}{types} AS {text}"),
            format!("EXPLAIN EXECUTE s{number}{nulls}"),
        ];
        if !text.contains("INSERT INTO") && (text.starts_with("SELECT") || text.starts_with("WITH"))
        {
            tried.extend([
                format!("SELECT text 'of s{number}'"),
                format!("EXECUTE s{number}{nulls}"),
            ]);
        }
        tried
    }

    /// An error with the text of its statement.
    fn with_text(&self, error: &str) -> String {
        let number = error.split_once("EXECUTE s").and_then(|(_, after)| {
            after
                .split(['(', '\n'])
                .next()?
                .trim()
                .parse::<usize>()
                .ok()
        });
        number.map_or_else(
            || error.to_owned(),
            |number| format!("{error}\n{}", self.statements[number]),
        )
    }

    /// Columns of answers that rows are not read as, with their statements.
    fn unreadable(&self, answers: &str) -> Vec<String> {
        let (mut of, mut found) = (0, Vec::new());
        for line in answers.lines() {
            if let Some((_, after)) = line.split_once("\"of s") {
                of = after.split('"').next().unwrap().parse().unwrap();
            }
            let Some((column, after)) = line.split_once("(typeid = ") else {
                continue;
            };
            if !READ.contains(&after.split(',').next().unwrap()) {
                found.push(format!(
                    "a column of another type:{column}({after}\n{}",
                    self.statements[of]
                ));
            }
        }
        found
    }
}

/// The pieces of SQL in the strings of a source file, as they stand in statements.
fn sql_of(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let product = source.split("\n#[cfg(test)]\n").next().unwrap();
    let code = product
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut rest = code.as_str();
    while let Some((_, from)) = rest.split_once('"') {
        let (mut text, mut end, mut escaped) = (String::new(), from.len(), false);
        for (at, letter) in from.char_indices() {
            match letter {
                '\n' if escaped => text.push('\n'),
                _ if escaped => text.push(letter),
                '\\' => {}
                '"' => {
                    end = at;
                    break;
                }
                _ => text.push(letter),
            }
            escaped = letter == '\\' && !escaped;
        }
        rest = &from[(end + 1).min(from.len())..];
        // A line that goes on begins with its first letter.
        let text: String = text
            .split('\n')
            .enumerate()
            .map(|(index, line)| if index == 0 { line } else { line.trim_start() })
            .collect();
        let words = [
            "SELECT ",
            "INSERT ",
            "UPDATE ",
            "DELETE ",
            " FROM ",
            " WHERE ",
            " AND ",
            "ORDER BY ",
            "ON CONFLICT ",
        ];
        if words.iter().any(|word| text.contains(word)) {
            found.extend(
                text.split(['{', '}'])
                    .step_by(2)
                    .filter(|piece| !piece.trim().is_empty())
                    .map(str::to_owned),
            );
        }
    }
    found
}

#[tokio::test]
async fn postgresql_has_the_same_tables() {
    let postgres = with_tables();
    let world = World::empty().await;
    let of_sqlite = world
        .store
        .read(|conn| {
            Box::pin(async move { Ok(sqlx::query_scalar(OF_SQLITE).fetch_all(conn).await?) })
        })
        .await
        .unwrap();
    let of_sqlite: BTreeSet<String> = of_sqlite.into_iter().collect();
    let of_postgres: BTreeSet<String> = postgres.ask(OF_POSTGRES).into_iter().collect();
    assert!(of_sqlite.len() > 200, "{of_sqlite:?}");
    assert_eq!(
        of_sqlite.difference(&of_postgres).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "missing in migrations/postgres"
    );
    assert_eq!(
        of_postgres.difference(&of_sqlite).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "only in migrations/postgres"
    );
    let indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
    let indexes: Vec<String> = world
        .store
        .read(move |conn| {
            Box::pin(async move { Ok(sqlx::query_scalar(indexes).fetch_all(conn).await?) })
        })
        .await
        .unwrap();
    let one_line = |text: &String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let indexes: BTreeSet<String> = indexes.iter().map(one_line).collect();
    let there: BTreeSet<String> = statements(TABLES)
        .iter()
        .map(one_line)
        .filter(|text| text.contains(" INDEX "))
        .collect();
    assert_eq!(indexes, there);
}

/// Columns, and the columns of primary keys, unique and foreign keys.
const OF_SQLITE: &str = "WITH t (name) AS (SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_sqlx*' AND name NOT GLOB 'sqlite*') \
     SELECT t.name || '.' || c.name || CASE c.type WHEN 'TEXT' THEN ' text' WHEN 'BLOB' THEN ' bytes' ELSE ' number' END || \
     CASE WHEN c.\"notnull\" OR c.pk > 0 THEN ' not null' ELSE '' END FROM t, pragma_table_info(t.name) c \
     UNION SELECT t.name || ' p ' || (SELECT group_concat(name, ',' ORDER BY pk) FROM pragma_table_info(t.name) WHERE pk > 0) FROM t \
     UNION SELECT t.name || ' u ' || (SELECT group_concat(name, ',' ORDER BY seqno) FROM pragma_index_info(i.name)) \
     FROM t, pragma_index_list(t.name) i WHERE i.origin = 'u' \
     UNION SELECT t.name || ' f ' || f.\"from\" || ' ' || f.\"table\" || ' ' || f.on_delete FROM t, pragma_foreign_key_list(t.name) f";

/// The same. A truth value is a number for SQLite.
const OF_POSTGRES: &str = "SELECT table_name || '.' || column_name || CASE data_type WHEN 'bigint' THEN ' number' WHEN 'boolean' THEN ' number' \
     WHEN 'bytea' THEN ' bytes' ELSE ' ' || data_type END || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END \
     FROM information_schema.columns WHERE table_schema = 'public' \
     UNION SELECT CAST(CAST(conrelid AS regclass) AS text) || ' ' || CAST(contype AS text) || ' ' || (SELECT string_agg(attname, ',' ORDER BY n) FROM unnest(conkey) WITH ORDINALITY k (num, n) \
     JOIN pg_attribute ON attrelid = conrelid AND attnum = num) || CASE contype WHEN 'f' THEN ' ' || CAST(CAST(confrelid AS regclass) AS text) || \
     CASE confdeltype WHEN 'c' THEN ' CASCADE' ELSE ' NO ACTION' END ELSE '' END FROM pg_constraint \
     WHERE contype IN ('p', 'u', 'f') AND connamespace = CAST('public' AS regnamespace)";

/// A PostgreSQL with the tables.
fn with_tables() -> Postgres {
    let postgres = Postgres::new();
    assert_eq!(
        postgres.run(statements(TABLES)).errors,
        Vec::<String>::new()
    );
    postgres
}

/// The statements of a file.
fn statements(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| format!("{}\n", line.split_once("--").map_or(line, |(code, _)| code)))
        .collect();
    code.split(';')
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
        .map(str::to_owned)
        .collect()
}
