//! Files: a module document, at most 600 lines, and a name that states a duty.

use super::tree::{CODE, sources};

/// A longer file has two duties.
const MAX_LINES: usize = 600;

#[test]
fn modules_have_a_document() {
    let bare: Vec<String> = sources(&CODE)
        .into_iter()
        .filter(|source| !source.text.trim_start().starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert_eq!(bare, Vec::<String>::new());
}

#[test]
fn files_have_at_most_600_lines() {
    let long: Vec<String> = sources(&CODE)
        .into_iter()
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn file_names_state_a_duty() {
    let vague = [
        "utils.rs",
        "util.rs",
        "common.rs",
        "helpers.rs",
        "helper.rs",
        "types.rs",
        "manager.rs",
        "misc.rs",
    ];
    let named: Vec<String> = sources(&CODE)
        .into_iter()
        .map(|source| source.path)
        .filter(|path| vague.iter().any(|name| path.ends_with(&format!("/{name}"))))
        .collect();
    assert_eq!(named, Vec::<String>::new());
}
