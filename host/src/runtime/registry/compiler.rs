//! Compiles one component at a time, on a thread of low priority.
//!
//! The compiler has a thread of its own because raising a lowered priority needs privileges, so a
//! shared thread would keep the low priority. On Linux, each thread has its own priority
//! (setpriority(2) takes a thread id). On other systems the priority belongs to the process, so it
//! is not lowered. Parallel compilation is off (`wasm_engine.rs`) because the threads of its pool
//! would not inherit the low priority.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use tokio::sync::oneshot;

/// The thread's niceness: half of the range. On a busy machine, the compiler still gets about a
/// tenth of a core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

type Task = Box<dyn FnOnce() + Send>;

/// A handle to the thread. The thread ends when the handle is dropped.
pub struct Compiler {
    tasks: mpsc::Sender<Task>,
}

impl Compiler {
    pub fn start() -> std::io::Result<Self> {
        let (tasks, incoming) = mpsc::channel::<Task>();
        std::thread::Builder::new()
            .name("egression-compile".to_owned())
            .spawn(move || {
                lower_priority();
                for task in incoming {
                    // A panic ends this compilation, whose caller gets an error, and no other.
                    if catch_unwind(AssertUnwindSafe(task)).is_err() {
                        tracing::error!("a compilation panicked");
                    }
                }
            })?;
        Ok(Self { tasks })
    }

    /// Runs `work` after the work that is queued; none if it panicked. It runs even if the caller
    /// stops waiting.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let task = Box::new(move || {
            // The caller may have stopped waiting.
            let _ = sender.send(work());
        });
        self.tasks.send(task).ok()?;
        receiver.await.ok()
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    #[expect(unsafe_code, reason = "the standard library cannot set a priority")]
    // SAFETY: the call takes numbers and touches no memory. On Linux, 0 is the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, NICE) } != 0;
    if refused {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "the priority of the compiler's thread cannot be lowered");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn compiler_lowers_the_priority_of_its_own_thread_only() {
        // proc(5): the 19th field of `stat`. The 2nd field, the name, ends with the last
        // parenthesis.
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit_once(')')
                .unwrap()
                .1
                .split_whitespace()
                .nth(16)
                .unwrap()
                .parse::<i32>()
                .unwrap()
        };
        let before = nice();
        let compiler = Compiler::start().unwrap();
        assert!(compiler.run(nice).await.unwrap() >= NICE);
        assert_eq!(nice(), before);
    }

    #[tokio::test]
    async fn compiler_survives_a_panic() {
        let compiler = Compiler::start().unwrap();
        assert_eq!(compiler.run(|| panic!("told to")).await, None::<()>);
        assert_eq!(compiler.run(|| 7).await, Some(7));
    }
}
