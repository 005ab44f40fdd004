//! `docs/promises.md`: each promise names a test that exists.

use std::fs;

use super::tree::root;

const PAGE: &str = "docs/promises.md";

#[test]
fn promises_name_tests_that_exist() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let missing = without_test(&page, |file| fs::read_to_string(root().join(file)).ok());
    assert!(missing.is_empty(), "{PAGE}:\n{}", missing.join("\n"));
}

/// The rows whose second cell does not name the file and the function of a test.
fn without_test(page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .filter(|line| !line.starts_with("| promise |"));
    let missing = rows.filter(|row| {
        let cell = row.split(" | ").nth(1).unwrap_or_default();
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        let [file, tests @ ..] = names.as_slice() else {
            return true;
        };
        let text = read(file).unwrap_or_default();
        tests.is_empty()
            || tests
                .iter()
                .any(|test| !text.contains(&format!("fn {test}(")))
    });
    missing.map(str::to_owned).collect()
}

#[test]
fn promise_without_its_test_is_found() {
    let read = |file: &str| (file == "a.rs").then(|| "async fn holds() {}".to_owned());
    let page = "| promise | test | last measured |\n|---|---|---|\n\
                | One | `a.rs`: `holds` | x |\n\
                | Two | `a.rs`: `gone` | x |\n\
                | Three | `b.rs`: `holds` | x |\n\
                | Four | by hand | x |";
    let found = without_test(page, read);
    assert_eq!(found.len(), 3, "{found:?}");
}
