//! CPU time of the threads that belong to one layer.
//!
//! The store's writer works on a thread of its own, and so does the limiter's timer. Linux tells
//! the time of a thread in `/proc`; other systems do not, and these threads count as `other` there.

use std::collections::BTreeMap;

use strum::EnumCount as _;

use super::layer_cpu::Layer;

/// The thread of the store's writer.
pub const STORE_WRITER: &str = "store-writer";
/// The thread of the limiter's timer.
pub const GATE_TIMER: &str = "gate-timer";

const LAYERS: [(&str, Layer); 2] = [
    (STORE_WRITER, Layer::StoreWriter),
    (GATE_TIMER, Layer::Gate),
];

/// The time so far. A thread that ends between two readings loses its last part.
#[derive(Debug, Default)]
pub struct ThreadCpu {
    seen_ns: BTreeMap<u32, u64>,
    used_ns: [u64; Layer::COUNT],
}

impl ThreadCpu {
    /// Reads the threads of this process.
    pub fn read(&mut self) {
        let threads = threads();
        let mut seen_ns = BTreeMap::new();
        for (id, layer, ns) in threads {
            // Ids are used again, and the new thread begins at 0.
            let before = self.seen_ns.get(&id).filter(|before| **before <= ns);
            self.used_ns[layer as usize] += ns - before.unwrap_or(&0);
            seen_ns.insert(id, ns);
        }
        self.seen_ns = seen_ns;
    }

    /// The nanoseconds of a layer's threads.
    pub const fn used_ns(&self, layer: Layer) -> u64 {
        self.used_ns[layer as usize]
    }
}

#[cfg(target_os = "linux")]
fn threads() -> Vec<(u32, Layer, u64)> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            let id = task.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, ns) = parse(&stat)?;
            let (_, layer) = LAYERS.iter().find(|(prefix, _)| name.starts_with(prefix))?;
            Some((id, *layer, ns))
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn threads() -> Vec<(u32, Layer, u64)> {
    Vec::new()
}

/// The name and the nanoseconds of a thread. proc(5): the 2nd field is the name in parentheses; the
/// 14th and 15th are the time in user and kernel mode, in ticks.
#[cfg(target_os = "linux")]
fn parse(stat: &str) -> Option<(&str, u64)> {
    let (head, fields) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut ticks = fields.split_whitespace().skip(11);
    let user: u64 = ticks.next()?.parse().ok()?;
    let kernel: u64 = ticks.next()?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some((name, (user + kernel) * (1_000_000_000 / per_second)))
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_a_name_with_spaces() {
        let stat = "7 (store-writer) x) S 1 1 1 0 -1 64 9 0 0 0 150 25 0 0 20 0 1 0 5 6 7";
        let (name, ns) = parse(stat).unwrap();
        assert_eq!((name, ns / 10_000_000), ("store-writer) x", 175));
    }
}
