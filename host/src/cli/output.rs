//! Standard output and standard error: tables for people, tab-separated lines for pipes, JSON for
//! programs.

use std::borrow::Cow;
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

    /// Prints one item as a table or as one JSON document.
    pub(super) fn item(&self, columns: &[Column], item: &Value) -> io::Result<()> {
        if self.is_json() {
            return self.document(item);
        }
        self.table(columns, std::slice::from_ref(item))
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

/// Prints lines on standard error.
pub(super) fn print_message(text: &str) {
    let lines: Vec<_> = text.lines().map(printable).collect();
    // A closed standard error is ignored.
    let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
}

/// One line of text whose control characters are escaped. A destination's text could otherwise
/// move the cursor, hide lines or reorder them.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unprintable(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, line separators, and marks that reorder text (Unicode TR 36, 2.1).
fn is_unprintable(char: char) -> bool {
    let reorders = matches!(
        char,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    char.is_control() || reorders || matches!(char, '\u{2028}' | '\u{2029}')
}

/// The text of a cell.
fn cell(value: Option<&Value>) -> String {
    printable(&raw_cell(value)).into_owned()
}

fn raw_cell(value: Option<&Value>) -> String {
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
                .map(|item| raw_cell(Some(item)))
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

/// The cells contain no tab and no line end.
fn tab_separated(titles: &[&str], rows: &[Vec<String>]) -> String {
    std::iter::once(titles.join("\t"))
        .chain(rows.iter().map(|row| row.join("\t")))
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
            vec![cell(Some(&json!("a\tb"))), String::new()],
            vec![cell(Some(&json!("c\nd"))), "e".to_owned()],
        ];
        assert_eq!(
            tab_separated(&["ONE", "TWO"], &rows),
            "ONE\tTWO\na\\tb\t\nc\\nd\te"
        );
        assert_eq!(
            aligned(&["ONE", "TWO"], vec![vec!["a".to_owned(), "b".to_owned()]])
                .lines()
                .count(),
            2
        );
    }

    #[test]
    fn cell_escapes_characters_that_control_a_terminal() {
        let problem = json!("\u{1b}[2J\u{7}\u{9b}1A\u{202e}caf\u{e9}\r\n");
        let expected = r"\u{1b}[2J\u{7}\u{9b}1A\u{202e}café\r\n";
        assert_eq!(cell(Some(&problem)), expected);
        assert_eq!(cell(Some(&json!([problem]))), expected);
        assert_eq!(printable("back\\slash"), "back\\slash");
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
