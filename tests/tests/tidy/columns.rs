//! Columns: at most 100 in a line of code, contract, configuration or SQL.

use std::fs;

use super::tree::{CODE, Source, files, root};

const MAX_COLUMNS: usize = 100;

/// A word of this length cannot be broken: a link or a digest.
const UNBREAKABLE: usize = 60;

#[test]
fn lines_have_at_most_100_columns() {
    let mut sources = Vec::new();
    for extension in ["rs", "toml", "sql"] {
        sources.extend(files(&CODE, extension));
    }
    sources.extend(files(&["wit"], "wit"));
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = fs::read_to_string(&path).unwrap();
            let path = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            sources.push(Source { path, text });
        }
    }
    let long: Vec<String> = sources.iter().flat_map(long_lines).collect();
    assert!(
        long.is_empty(),
        "{} long lines:\n{}",
        long.len(),
        long.join("\n")
    );
}

fn long_lines(source: &Source) -> Vec<String> {
    let numbered = (1..).zip(source.text.lines());
    numbered
        .filter(|(_, line)| line.chars().count() > MAX_COLUMNS && !is_unbreakable(line))
        .map(|(number, line)| format!("{}:{number}: {} columns", source.path, line.chars().count()))
        .collect()
}

/// Whether the line is too long because of one link, digest or signature, or is a row of a table in
/// a comment.
fn is_unbreakable(line: &str) -> bool {
    let comment = line.trim_start();
    if comment.starts_with("/// |") || comment.starts_with("//! |") {
        return true;
    }
    line.split_whitespace().any(|word| {
        let word = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        word.len() >= UNBREAKABLE && (word.contains("://") || word.chars().all(is_digest))
    })
}

/// A character of a digest in hex, or of a signature in base64url.
const fn is_digest(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_')
}

#[test]
fn long_line_is_found() {
    let found = |text: String| {
        long_lines(&Source {
            path: "a.rs".to_owned(),
            text,
        })
        .len()
    };
    let digest = "0123456789abcdef".repeat(4);
    assert_eq!(found("x ".repeat(50)), 0);
    assert_eq!(found("x ".repeat(51)), 1);
    assert_eq!(
        found(format!(
            "    let digest = \"{digest}\"; // {}",
            "x ".repeat(20)
        )),
        0
    );
    assert_eq!(
        found(format!("// https://example.org/{digest}/{digest}")),
        0
    );
}
