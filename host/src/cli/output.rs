//! Standard output and standard error: tables for people, tab-separated lines for pipes, JSON for
//! programs.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// What standard output gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Tables on a terminal, tab-separated lines with a header elsewhere.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Standard output in the form that was asked for.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    is_terminal: bool,
}

/// A column: its title and where its value is in an item (JSON pointer).
pub(super) type Column = (&'static str, &'static str);

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            is_terminal: io::stdout().is_terminal(),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One JSON document on a line of its own.
    pub(super) fn document(&self, value: &Value) -> io::Result<()> {
        self.text(&value.to_string())
    }

    /// Text as it is, with a line end.
    pub(super) fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
        stdout.flush()
    }

    /// Items as a table, or all of them as one JSON array.
    pub(super) fn items(&self, columns: &[Column], items: &[Value]) -> io::Result<()> {
        if self.is_json() {
            return self.document(&Value::Array(items.to_vec()));
        }
        self.table(columns, items)
    }

    /// Items as a table, whatever the form.
    pub(super) fn table(&self, columns: &[Column], items: &[Value]) -> io::Result<()> {
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|item| {
                columns
                    .iter()
                    .map(|(_, pointer)| cell(item.pointer(pointer)))
                    .collect()
            })
            .collect();
        let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
        self.text(&if self.is_terminal {
            drawn(&titles, rows)
        } else {
            tabbed(&titles, &rows)
        })
    }
}

/// Says something to the person: a line on standard error.
pub(super) fn talk(text: &str) {
    // If standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A value as a cell shows it.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items))
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            items
                .iter()
                .map(|item| cell(Some(item)))
                .collect::<Vec<_>>()
                .join(",")
        }
        Some(other) => other.to_string(),
    }
}

/// Columns of a terminal that a table takes at least.
const LEAST_WIDTH: u16 = 60;

fn drawn(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    // A terminal that does not tell its width, or tells none, is no reason for columns of one
    // letter.
    if table.width().is_some_and(|width| width < LEAST_WIDTH) {
        table.set_width(LEAST_WIDTH);
    }
    table.set_header(titles.to_vec()).add_rows(rows);
    table.trim_fmt()
}

/// A tab or line end inside a value would break the columns.
fn tabbed(titles: &[&str], rows: &[Vec<String>]) -> String {
    let clean = |text: &str| text.replace(['\t', '\n', '\r'], " ");
    let line = |cells: Vec<String>| cells.join("\t");
    let header = line(titles.iter().map(|title| clean(title)).collect());
    let rows = rows
        .iter()
        .map(|row| line(row.iter().map(|text| clean(text)).collect()));
    std::iter::once(header)
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_keep_their_columns() {
        let rows = vec![
            vec!["a\tb".to_owned(), String::new()],
            vec!["c\nd".to_owned(), "e".to_owned()],
        ];
        assert_eq!(tabbed(&["ONE", "TWO"], &rows), "ONE\tTWO\na b\t\nc d\te");
        assert_eq!(
            drawn(&["ONE", "TWO"], vec![vec!["a".to_owned(), "b".to_owned()]])
                .lines()
                .count(),
            2
        );
    }

    #[test]
    fn cells_show_plain_values() {
        let cells: Vec<String> = [
            json!("x"),
            json!(3),
            json!(null),
            json!(["a", "b"]),
            json!({"a": 1}),
        ]
        .iter()
        .map(|v| cell(Some(v)))
        .collect();
        assert_eq!(cells, ["x", "3", "", "a,b", r#"{"a":1}"#]);
        assert_eq!(cell(None), "");
    }
}
