//! Standard output and standard error: tables for people, tab-separated lines for pipes, JSON for
//! programs.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Tables on a terminal, otherwise tab-separated lines with a header.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Standard output in the requested format.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    is_terminal: bool,
}

/// A column: its title and the JSON pointer of its value in an item.
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

    /// Prints one JSON document on one line.
    pub(super) fn document(&self, value: &Value) -> io::Result<()> {
        self.text(&value.to_string())
    }

    /// Prints text with a line end.
    pub(super) fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
        stdout.flush()
    }

    /// Prints items as a table or as one JSON array.
    pub(super) fn items(&self, columns: &[Column], items: &[Value]) -> io::Result<()> {
        if self.is_json() {
            return self.document(&Value::Array(items.to_vec()));
        }
        self.table(columns, items)
    }

    /// Prints items as a table in every format.
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
            aligned(&titles, rows)
        } else {
            tab_separated(&titles, &rows)
        })
    }
}

/// Prints a line on standard error.
pub(super) fn print_message(text: &str) {
    // A closed standard error is ignored.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The text of a cell.
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

/// The least width of a table, in characters.
const LEAST_WIDTH: u16 = 60;

fn aligned(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    // Some terminals report no width; the table must not shrink to columns of one letter.
    if table.width().is_some_and(|width| width < LEAST_WIDTH) {
        table.set_width(LEAST_WIDTH);
    }
    table.set_header(titles.to_vec()).add_rows(rows);
    table.trim_fmt()
}

/// A tab or line end inside a value would break the columns.
fn tab_separated(titles: &[&str], rows: &[Vec<String>]) -> String {
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
    fn line_keeps_its_columns() {
        let rows = vec![
            vec!["a\tb".to_owned(), String::new()],
            vec!["c\nd".to_owned(), "e".to_owned()],
        ];
        assert_eq!(
            tab_separated(&["ONE", "TWO"], &rows),
            "ONE\tTWO\na b\t\nc d\te"
        );
        assert_eq!(
            aligned(&["ONE", "TWO"], vec![vec!["a".to_owned(), "b".to_owned()]])
                .lines()
                .count(),
            2
        );
    }

    #[test]
    fn cell_shows_plain_values() {
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
