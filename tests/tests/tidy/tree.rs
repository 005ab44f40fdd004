//! The files of the repository, as the checks read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders with Rust code.
pub const CODE: [&str; 5] = ["host", "sdk", "connectors", "tests", "xtask"];

/// One file: its path from the root, with `/` between folders, and its text.
pub struct Source {
    pub path: String,
    pub text: String,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// All Rust files below the folders.
pub fn sources(folders: &[&str]) -> Vec<Source> {
    files(folders, "rs")
}

/// All files below the folders with this extension.
pub fn files(folders: &[&str], extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&root().join(folder), extension, &mut found);
    }
    assert!(!found.is_empty(), "no {extension} files under {folders:?}");
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

pub fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs")
}
