//! The compiler's thread: one component at a time, and after everybody else.
//!
//! A thread of its own, because a priority that was lowered cannot be raised again without
//! privileges, and so must not stay with a thread that others borrow. On Linux a thread's priority
//! is its own (setpriority(2) names threads there); elsewhere it would be the whole process's, so
//! nothing is lowered. The compilation itself stays on this thread: parallel compilation is off
//! (`engine.rs`), as the threads of that pool are made once for the process and do not take this
//! priority over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use tokio::sync::oneshot;

/// How nice the thread is: half of what there is. A busy machine still compiles, at about a tenth
/// of a core's pace.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

type Task = Box<dyn FnOnce() + Send>;

/// The way to the thread. The thread ends with it.
pub(super) struct Compiler {
    tasks: mpsc::Sender<Task>,
}

impl Compiler {
    pub(super) fn start() -> std::io::Result<Self> {
        let (tasks, incoming) = mpsc::channel::<Task>();
        std::thread::Builder::new()
            .name("egression-compile".to_owned())
            .spawn(move || {
                lower_priority();
                for task in incoming {
                    // A defect of the compiler ends that compilation, whose caller hears of it, and
                    // not those that follow.
                    if catch_unwind(AssertUnwindSafe(task)).is_err() {
                        tracing::error!("a compilation panicked");
                    }
                }
            })?;
        Ok(Self { tasks })
    }

    /// Does the work when its turn comes; none if it panicked. It is done also if the caller goes
    /// away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let task = Box::new(move || {
            // Nobody waits any more if the caller went away.
            let _ = sender.send(work());
        });
        self.tasks.send(task).ok()?;
        receiver.await.ok()
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    // SAFETY: numbers only, no memory. On Linux 0 names the calling thread.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, NICE) } != 0;
    if refused {
        tracing::warn!(error = %std::io::Error::last_os_error(), "components are compiled at the priority of everything else");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn the_thread_is_nice_and_nobody_else_is() {
        // proc(5): the 19th field of `stat`, counted behind the name, which ends with the last
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
    async fn a_panic_is_told_and_the_next_one_is_compiled() {
        let compiler = Compiler::start().unwrap();
        assert_eq!(compiler.run(|| panic!("told to")).await, None::<()>);
        assert_eq!(compiler.run(|| 7).await, Some(7));
    }
}
