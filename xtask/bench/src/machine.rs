//! The name of the machine, so that figures of different machines are not compared by mistake.

use std::path::Path;

use anyhow::Result;

use crate::bounds::fdatasync;
use crate::figure::shown;

/// CPU, cores, memory, kernel, file system of the directory, and its fdatasync.
pub(crate) fn describe(directory: &Path) -> Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpus, memory, mounts) = (
        read("/proc/cpuinfo"),
        read("/proc/meminfo"),
        read("/proc/self/mounts"),
    );
    let model = field(&cpus, "model name").unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kib: f64 = field(&memory, "MemTotal")
        .and_then(|total| total.split(' ').next()?.parse().ok())
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let file_system = file_system(&mounts, directory).unwrap_or("unknown file system");
    Ok(format!(
        "{model}, {cores} cores, {:.0} GB of memory, Linux {}, {file_system}, fdatasync {} ms",
        kib * 1024.0 / 1e9,
        kernel.trim(),
        shown(fdatasync::measure(directory)?.median()),
    ))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The type of the file system with the longest mount point above the directory.
fn file_system<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let (_, kind) = mounts
        .filter(|(point, _)| directory.starts_with(point))
        .max_by_key(|(point, _)| point.len())?;
    Some(kind)
}
