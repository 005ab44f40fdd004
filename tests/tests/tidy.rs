//! Tastes that matter, as checks: layers, module documents, file sizes, words that have no place
//! here.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use egression_sandbox::canonical_digest;
use serde_json::json;

/// A file over this has two duties.
const MAX_LINES: usize = 600;

struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources(folders: &[&str]) -> Vec<Source> {
    files(folders, "rs")
}

fn files(folders: &[&str], extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), extension, &mut found);
    }
    assert!(
        !found.is_empty(),
        "no sources under {folders:?}: is the test looking in the right place?"
    );
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(&path, extension, found);
            }
        } else if path.extension().is_some_and(|of_path| of_path == extension) {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            found.push(Source {
                text: fs::read_to_string(&path).unwrap(),
                path: name,
            });
        }
    }
}

/// Product code only: what stands before the test module, without comments.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}

/// Files outside `allowed` whose product code contains one of `words`.
fn trespassers(folders: &[&str], words: &[&str], allowed: &[&str]) -> Vec<String> {
    sources(folders)
        .into_iter()
        .filter(|source| {
            !is_test_file(&source.path)
                && !allowed.iter().any(|folder| source.path.starts_with(folder))
        })
        .flat_map(|source| {
            let hits: Vec<String> = product_lines(&source.text)
                .filter(|line| words.iter().any(|word| line.contains(word)))
                .map(|line| format!("{}: {}", source.path, line.trim()))
                .collect();
            hits
        })
        .collect()
}

#[test]
fn core_is_pure() {
    let words = [
        "tokio",
        "sqlx",
        "wasmtime",
        "axum",
        "reqwest",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant::now",
        "SystemTime",
    ];
    assert_eq!(
        trespassers(&["host/core/src"], &words, &[]),
        Vec::<String>::new()
    );
}

#[test]
fn sql_lives_in_the_store() {
    assert_eq!(
        trespassers(
            &["host/src", "host/core/src", "host/sandbox/src"],
            &["sqlx::"],
            &["host/src/store/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn wasmtime_lives_in_the_runtime() {
    assert_eq!(
        trespassers(
            &["host/src", "host/core/src"],
            &["wasmtime::", "wasmtime_wasi::"],
            &["host/src/runtime/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn axum_lives_in_the_api() {
    // The app serves the API's router; it handles no request.
    let allowed = ["host/src/api/", "host/src/app/serve.rs"];
    assert_eq!(
        trespassers(&["host/src", "host/core/src"], &["axum::"], &allowed),
        Vec::<String>::new()
    );
}

#[test]
fn only_the_gate_and_the_client_open_connections() {
    assert_eq!(
        trespassers(
            &["host/src"],
            &["reqwest::"],
            &["host/src/gate/", "host/src/cli/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn clocks_are_read_in_one_place() {
    let words = ["Instant::now()", "SystemTime::now()", "Timestamp::now()"];
    let allowed = ["host/src/clock.rs", "host/sandbox/src/clock.rs"];
    assert_eq!(
        trespassers(
            &["host/src", "host/core/src", "host/sandbox/src"],
            &words,
            &allowed
        ),
        Vec::<String>::new()
    );
}

#[test]
fn parts_do_not_know_the_app() {
    assert_eq!(
        trespassers(
            &["host/src"],
            &["crate::app"],
            &["host/src/app/", "host/src/cli/"]
        ),
        Vec::<String>::new()
    );
}

#[test]
fn the_store_knows_no_part_above_it() {
    let words = [
        "crate::api",
        "crate::delivery",
        "crate::dispatch",
        "crate::gate",
        "crate::resolver",
        "crate::runtime",
        "crate::vault",
    ];
    let inside: Vec<String> = trespassers(&["host/src/store"], &words, &[]);
    assert_eq!(inside, Vec::<String>::new());
}

#[test]
fn every_module_says_what_it_is_for() {
    let bare: Vec<String> = sources(&["host", "sdk", "connectors", "tests", "xtask"])
        .into_iter()
        .filter(|source| !source.text.trim_start().starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert_eq!(bare, Vec::<String>::new());
}

#[test]
fn files_have_one_duty() {
    let long: Vec<String> = sources(&["host", "sdk", "connectors", "tests", "xtask"])
        .into_iter()
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn modules_are_named_for_their_duty() {
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
    let named: Vec<String> = sources(&["host", "sdk", "connectors", "tests", "xtask"])
        .into_iter()
        .map(|source| source.path)
        .filter(|path| vague.iter().any(|name| path.ends_with(&format!("/{name}"))))
        .collect();
    assert_eq!(named, Vec::<String>::new());
}

/// Unused snapshots pass every test and say what is true no longer.
#[test]
fn every_snapshot_has_its_assertion() {
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

/// Whether a test file asserts a snapshot: by its name, by a name that is made, or by a test of
/// that name.
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
fn a_released_version_is_frozen() {
    let mut changed = Vec::new();
    find_changed(&root().join("wit"), &mut changed);
    assert_eq!(changed, Vec::<String>::new());
}

#[test]
fn a_change_of_a_released_version_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("v9.9");
    fs::create_dir_all(folder.join("examples")).unwrap();
    fs::write(folder.join("world.wit"), "interface a {}").unwrap();
    fs::write(folder.join("examples/one.json"), "{}").unwrap();
    let changed = || {
        let mut changed = Vec::new();
        find_changed(directory.path(), &mut changed);
        changed.len()
    };
    assert_eq!(changed(), 0, "it is not released");
    fs::write(folder.join("released"), format!("{}\n", digest_of(&folder))).unwrap();
    assert_eq!(changed(), 0);
    fs::write(folder.join("examples/one.json"), "{} ").unwrap();
    assert_eq!(changed(), 1);
    fs::write(folder.join("examples/one.json"), "{}").unwrap();
    fs::write(folder.join("more.wit"), "").unwrap();
    assert_eq!(changed(), 1);
}

/// The folders that hold a file `released` whose text is not the digest of their other files.
fn find_changed(folder: &Path, changed: &mut Vec<String>) {
    if let Ok(released) = fs::read_to_string(folder.join("released")) {
        let now = digest_of(folder);
        if released.trim() != now {
            changed.push(format!(
                "{} was released as {}, and is {now}",
                folder.display(),
                released.trim()
            ));
        }
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_changed(&path, changed);
        }
    }
}

/// A digest of a folder's files and their names, without the mark itself.
fn digest_of(folder: &Path) -> String {
    fn read(folder: &Path, within: &Path, files: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(within).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            if path.is_dir() {
                read(folder, &path, files);
            } else if name != "released" {
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    read(folder, folder, &mut files);
    canonical_digest(&json!(files))
}
