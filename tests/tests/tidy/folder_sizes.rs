//! Folders: at most 20 files in each.

use std::fs;
use std::path::Path;

use super::tree::root;

/// A larger folder is hard to survey; group its files into sub-folders.
const MAX_FILES: usize = 20;

const FOLDERS: [&str; 4] = ["host", "sdk", "tests", "xtask"];

#[test]
fn folders_hold_at_most_20_files() {
    let mut large = Vec::new();
    for folder in FOLDERS {
        find_large(&root().join(folder), &mut large);
    }
    assert_eq!(large, Vec::<String>::new());
}

/// Collects the folders with too many files. Snapshots and build results do not count.
fn find_large(folder: &Path, large: &mut Vec<String>) {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_file() {
            files += 1;
        } else if !(name == "target" || name == "snapshots" || name == "node_modules") {
            find_large(&path, large);
        }
    }
    if files > MAX_FILES {
        large.push(format!("{}: {files} files", folder.display()));
    }
}

#[test]
fn large_folder_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let found = || {
        let mut large = Vec::new();
        find_large(directory.path(), &mut large);
        large.len()
    };
    for file in 0..MAX_FILES {
        fs::write(directory.path().join(format!("{file}.rs")), "").unwrap();
    }
    assert_eq!(found(), 0);
    fs::write(directory.path().join("more.rs"), "").unwrap();
    assert_eq!(found(), 1);
}
