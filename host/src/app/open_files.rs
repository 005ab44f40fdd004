//! The process's limit on open files, which bounds its connections and files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that the host asks for if the system sets no hard limit.
const MOST: u64 = 1 << 20;

/// Raises the soft limit to the hard one and returns the limit in force.
pub(super) fn raise_limit() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let current = before.current.unwrap_or(MOST);
    let wanted = before.maximum.unwrap_or(MOST).min(MOST);
    if current >= wanted {
        return current;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: before.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, current, "the limit on open files cannot be raised");
            current
        }
    }
}
