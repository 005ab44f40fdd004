//! The priority of a thread that runs or compiles guests, below the host's own threads.

/// Lowers the priority of the calling thread for good: raising it again needs privileges. On Linux,
/// each thread has its own priority (setpriority(2)). On other systems the priority belongs to the
/// process, so it stays.
#[cfg(target_os = "linux")]
pub fn lower(nice: i32) {
    // Without an id, the call means the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, nice, "the priority of a thread cannot be lowered");
    }
}

#[cfg(not(target_os = "linux"))]
pub fn lower(_nice: i32) {}

/// The niceness of the calling thread.
#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
pub fn current() -> i32 {
    // proc(5): the 19th field of `stat`. The 2nd field, the name, ends with the last parenthesis.
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(16).unwrap().parse().unwrap()
}
