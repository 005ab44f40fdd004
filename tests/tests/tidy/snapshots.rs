//! Snapshots: each one belongs to an assertion.

use std::collections::BTreeMap;

use super::tree::{files, sources};

/// No test compares an unused snapshot, so it becomes stale unnoticed.
#[test]
fn snapshots_have_an_assertion() {
    let sources: BTreeMap<String, String> = sources(&["host", "sdk", "tests", "xtask"])
        .into_iter()
        .map(|source| (source.path, source.text))
        .collect();
    let unused: Vec<String> = files(&["host", "sdk", "tests", "xtask"], "snap")
        .into_iter()
        .filter(|snapshot| {
            let asserting = snapshot
                .text
                .lines()
                .find_map(|line| line.strip_prefix("source: "))
                .and_then(|path| sources.get(path));
            let name = snapshot
                .path
                .trim_end_matches(".snap")
                .rsplit("__")
                .next()
                .unwrap_or_default();
            !asserting.is_some_and(|text| names_snapshot(text, name))
        })
        .map(|snapshot| snapshot.path)
        .collect();
    assert_eq!(unused, Vec::<String>::new());
}

/// Whether a test file asserts a snapshot: by its name, by a formatted name, or by a test with that
/// name.
fn names_snapshot(text: &str, name: &str) -> bool {
    let made = |made: &str| {
        made.split_once('{')
            .is_some_and(|(prefix, _)| !prefix.is_empty() && name.starts_with(prefix))
    };
    text.contains("assert_")
        && (text.contains(&format!("\"{name}\""))
            || text.contains(&format!("fn {name}("))
            || text.split("snapshot!(format!(\"").skip(1).any(made))
}

#[test]
fn unused_snapshot_is_found() {
    let text = "fn lists() { insta::assert_snapshot!(\"page\", text); }";
    assert!(names_snapshot(text, "page") && names_snapshot(text, "lists"));
    assert!(!names_snapshot(text, "old_page"));
}
