//! The sources of the session, and the parts that a change affects.
//!
//! Watching compares the number of files and the newest modification time of each folder.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A part of the session that can change on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Host,
    Shop,
    Connector,
}

use Part::{Connector, Host, Shop};

/// Folders and files, and the parts that are built from them.
const WATCHED: [(&str, &[Part]); 10] = [
    ("host/src", &[Host]),
    ("host/core", &[Host]),
    ("host/migrations", &[Host]),
    ("host/Cargo.toml", &[Host]),
    ("docs/tour.toml", &[Host]),
    ("host/sandbox", &[Shop]),
    ("wit", &[Host, Connector]),
    ("sdk/rust", &[Connector]),
    ("connectors/sandbox", &[Connector]),
    ("Cargo.lock", &[Host, Shop, Connector]),
];

pub(crate) const WATCHED_TEXT: &str = "host, wit, sdk, connectors/sandbox and docs/tour.toml";

/// The number of files of a folder and their newest modification time, in ms since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fingerprint {
    files: u64,
    newest_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Sources {
    root: PathBuf,
    seen: Vec<Fingerprint>,
}

/// The folders that changed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Changes {
    folders: Vec<&'static str>,
    parts: Vec<Part>,
    /// The newest modification time of the connector's sources, in ms since the Unix epoch.
    pub(crate) connector_ms: u64,
}

impl Changes {
    pub(crate) fn affect(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folders.join(", "))
    }
}

impl Sources {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self {
            root,
            seen: Vec::new(),
        }
    }

    /// Takes the current sources as seen. Every part counts as changed.
    pub(crate) fn scan(&mut self) -> Changes {
        self.seen = self.fingerprints();
        self.changed_from(&[Fingerprint::default(); WATCHED.len()])
    }

    /// The changes since the last call, if any.
    pub(crate) fn changes(&mut self) -> Option<Changes> {
        let now = self.fingerprints();
        let before = std::mem::replace(&mut self.seen, now);
        (before != self.seen).then(|| self.changed_from(&before))
    }

    fn changed_from(&self, before: &[Fingerprint]) -> Changes {
        let mut changes = Changes {
            folders: Vec::new(),
            parts: Vec::new(),
            connector_ms: 0,
        };
        for ((folder, parts), (before, now)) in WATCHED.iter().zip(before.iter().zip(&self.seen)) {
            if parts.contains(&Connector) {
                changes.connector_ms = changes.connector_ms.max(now.newest_ms);
            }
            if before != now {
                changes.folders.push(*folder);
                changes.parts.extend(*parts);
            }
        }
        changes
    }

    fn fingerprints(&self) -> Vec<Fingerprint> {
        let fingerprint = |(folder, _): &(&str, &[Part])| {
            let mut fingerprint = Fingerprint::default();
            add(&self.root.join(folder), &mut fingerprint);
            fingerprint
        };
        WATCHED.iter().map(fingerprint).collect()
    }
}

/// Adds a file or the files of a folder. A file that is deleted meanwhile is skipped.
fn add(path: &Path, fingerprint: &mut Fingerprint) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    if metadata.is_dir() {
        if path.file_name().is_some_and(|name| name == "target") {
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            add(&entry.path(), fingerprint);
        }
        return;
    }
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    fingerprint.files += 1;
    fingerprint.newest_ms = fingerprint.newest_ms.max(modified_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_name_the_folder_and_its_parts() {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = directory.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("host/src/main.rs", "");
        write("sdk/rust/src/lib.rs", "");
        let mut sources = Sources::new(directory.path().to_owned());
        assert!(sources.scan().affect(Host));
        assert!(sources.changes().is_none());

        write("sdk/rust/src/item.rs", "");
        let changes = sources.changes().unwrap();
        assert_eq!(changes.to_string(), "sdk/rust");
        assert!(changes.affect(Connector) && !changes.affect(Host) && !changes.affect(Shop));
        assert!(changes.connector_ms > 0 && sources.changes().is_none());
    }
}
