//! Files: a module document, at most 600 lines, and a name that states a duty.

use super::tree::{CODE, Source, sources};

/// A longer file has two duties.
const MAX_LINES: usize = 600;

/// Names that state no duty.
const VAGUE: [&str; 8] = [
    "utils", "util", "common", "helpers", "helper", "types", "manager", "misc",
];

#[test]
fn modules_have_a_document() {
    let bare = sources(&CODE)
        .into_iter()
        .filter(|source| !has_document(source));
    assert_eq!(
        bare.map(|source| source.path).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[test]
fn files_have_at_most_600_lines() {
    let long = sources(&CODE).into_iter().filter(is_long);
    let long = long.map(|source| format!("{}: {} lines", source.path, source.text.lines().count()));
    assert_eq!(long.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn file_names_state_a_duty() {
    let vague = sources(&CODE).into_iter().filter(is_vague);
    assert_eq!(
        vague.map(|source| source.path).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

fn has_document(source: &Source) -> bool {
    source.text.trim_start().starts_with("//!")
}

fn is_long(source: &Source) -> bool {
    source.text.lines().count() > MAX_LINES
}

fn is_vague(source: &Source) -> bool {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    VAGUE.contains(&name.trim_end_matches(".rs"))
}

#[test]
fn bare_long_and_vague_files_are_found() {
    let file = |path: &str, text: String| Source {
        path: path.to_owned(),
        text,
    };
    let good = file("host/src/gate/send.rs", "//! Sends.\n".repeat(MAX_LINES));
    assert!(has_document(&good) && !is_long(&good) && !is_vague(&good));
    let bad = file(
        "host/src/gate/utils.rs",
        "fn a() {}\n".repeat(MAX_LINES + 1),
    );
    assert!(!has_document(&bad) && is_long(&bad) && is_vague(&bad));
}
