//! Notes the statements of a test run, for `portable.rs`: each once, and lists in it of two rows at
//! most. A process notes where the variable [`FOLDER`] names a folder, and nothing otherwise.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub(super) const FOLDER: &str = "EGRESSION_NOTE_STATEMENTS";

/// A line of a file in the folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Note {
    Statement(String),
    /// The types of a row of values after this head.
    Types(String, Vec<String>),
}

#[derive(Debug)]
struct Notes {
    file: File,
    seen: HashSet<Note>,
}

static NOTES: LazyLock<Option<Mutex<Notes>>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let file = File::create(folder.join(format!("{}.jsonl", std::process::id()))).unwrap();
    // sqlx tells of each statement when it has run, on a thread of the connection's own: only a
    // global subscriber hears it.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Listener)).unwrap();
    Some(Mutex::new(Notes {
        file,
        seen: HashSet::new(),
    }))
});

/// Whether this process notes. The first call begins it.
pub(in crate::store) fn begun() -> bool {
    NOTES.is_some()
}

/// Notes the types of a row of values.
pub(in crate::store) fn types(head: &str, types: &[String]) {
    if begun() {
        note(Note::Types(head.to_owned(), types.to_vec()));
    }
}

fn note(note: Note) {
    let Some(notes) = &*NOTES else { return };
    let mut notes = notes.lock().unwrap();
    if !notes.seen.contains(&note) {
        let line = serde_json::to_string(&note).unwrap();
        writeln!(notes.file, "{line}").unwrap();
        notes.seen.insert(note);
    }
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        // A short statement is its own summary, and not told twice.
        let text = if told.statement.is_empty() {
            told.summary
        } else {
            told.statement
        };
        note(Note::Statement(shortened(text.trim())));
    }
}

#[derive(Debug, Default)]
struct Told {
    summary: String,
    statement: String,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// The statement with two rows of a list of values at most, and two values of a list of
/// placeholders.
pub(super) fn shortened(statement: &str) -> String {
    let rows = statement.split_once("VALUES (").and_then(|(head, list)| {
        let row = format!(", ({})", list.split_once(')')?.0);
        let after = &list[row.len() - ", (".len()..];
        let more = after.strip_prefix(row.as_str())?;
        Some(format!(
            "{head}VALUES ({}{row}{}",
            &row[", (".len()..],
            trimmed(more, &row)
        ))
    });
    let statement = rows.unwrap_or_else(|| statement.to_owned());
    let Some((head, list)) = statement.split_once("IN (?, ?") else {
        return statement;
    };
    format!("{head}IN (?, ?{}", trimmed(list, ", ?"))
}

/// Without what is repeated at its beginning.
fn trimmed<'a>(mut text: &'a str, repeated: &str) -> &'a str {
    while let Some(rest) = text.strip_prefix(repeated) {
        text = rest;
    }
    text
}

#[test]
fn lists_are_shortened() {
    assert_eq!(
        shortened("SELECT 1 WHERE a IN (?, ?, ?, ?) AND b = ?"),
        "SELECT 1 WHERE a IN (?, ?) AND b = ?"
    );
    assert_eq!(
        shortened("WITH w (a, b) AS (VALUES (?, 0), (?, 0), (?, 0)) SELECT ?"),
        "WITH w (a, b) AS (VALUES (?, 0), (?, 0)) SELECT ?"
    );
    assert_eq!(
        shortened("INSERT INTO a (b) VALUES (?)"),
        "INSERT INTO a (b) VALUES (?)"
    );
    assert_eq!(
        shortened("SELECT count(*) FROM secret"),
        "SELECT count(*) FROM secret"
    );
}
