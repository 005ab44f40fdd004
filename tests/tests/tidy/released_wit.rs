//! Released contract versions: a released folder of `wit/` never changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use egression_sandbox::canonical_digest;
use serde_json::json;

use super::tree::root;

#[test]
fn released_versions_are_frozen() {
    let mut changed = Vec::new();
    find_changed(&root().join("wit"), &mut changed);
    assert_eq!(changed, Vec::<String>::new());
}

#[test]
fn change_of_a_released_version_is_found() {
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
    assert_eq!(changed(), 0, "not released");
    fs::write(folder.join("released"), format!("{}\n", digest_of(&folder))).unwrap();
    assert_eq!(changed(), 0);
    fs::write(folder.join("examples/one.json"), "{} ").unwrap();
    assert_eq!(changed(), 1);
    fs::write(folder.join("examples/one.json"), "{}").unwrap();
    fs::write(folder.join("more.wit"), "").unwrap();
    assert_eq!(changed(), 1);
}

/// Collects the folders whose file `released` does not hold the digest of their other files.
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

/// The digest of a folder's files and their names, without the file `released`.
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
