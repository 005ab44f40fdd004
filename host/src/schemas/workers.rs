//! The threads that evaluate schemas, and the deadline of each evaluation.
//!
//! A thread cannot be stopped. One that misses its deadline is left alone, and another takes its
//! turn. None of them delays the end of the process.

use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout_at;

use crate::clock::Clock;

/// Threads that may be stuck before later evaluations miss their deadlines.
const MAX_STUCK: usize = 32;
/// A value has at most 128 levels, and each may pass a chain of `max_depth` subschemas.
const STACK_BYTES: usize = 128 * 1024 * 1024;

#[derive(Debug)]
pub struct Workers {
    turns: Semaphore,
    clock: Clock,
    deadline_ms: u64,
    threads: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

/// Why an evaluation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJudged {
    #[error("not evaluated within {deadline_ms} ms (see `runtime.schemas.deadline_ms`)")]
    Overdue { deadline_ms: u64 },
    #[error("the evaluation failed because of a defect of the host; see the log")]
    Failed,
}

impl Workers {
    pub fn start(threads: usize, deadline_ms: u64, clock: Clock) -> std::io::Result<Self> {
        // Only its threads for blocking work are used.
        let runtime = Builder::new_current_thread()
            .thread_name("egression-schema")
            .thread_stack_size(STACK_BYTES)
            .max_blocking_threads(threads.max(1) + MAX_STUCK)
            .build()?;
        Ok(Self {
            turns: Semaphore::new(threads.max(1)),
            clock,
            deadline_ms,
            threads: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs `work` on a thread, within the deadline.
    pub async fn run<R: Send + 'static>(
        &self,
        work: impl Fn() -> R + Send + Sync + 'static,
    ) -> Result<R, NotJudged> {
        let results = self.each(vec![()], move |()| work()).await;
        results.into_iter().next().unwrap_or(Err(NotJudged::Failed))
    }

    /// Runs `work` on each item, one after the other, each within the deadline.
    pub async fn each<T: Send + Sync + 'static, R: Send + 'static>(
        &self,
        items: Vec<T>,
        work: impl Fn(&T) -> R + Send + Sync + 'static,
    ) -> Vec<Result<R, NotJudged>> {
        let (items, work): (Arc<[T]>, _) = (items.into(), Arc::new(work));
        let mut results = Vec::with_capacity(items.len());
        while results.len() < items.len() {
            let _turn = self.turns.acquire().await;
            let (sender, mut receiver) = mpsc::unbounded_channel();
            let (items, work, first) = (Arc::clone(&items), Arc::clone(&work), results.len());
            let count = items.len();
            self.threads.spawn_blocking(move || {
                for item in &items[first..] {
                    // The caller no longer waits.
                    if sender.send(work(item)).is_err() {
                        return;
                    }
                }
            });
            while results.len() < count {
                let deadline = self.clock.mono().plus_ms(self.deadline_ms);
                let result = timeout_at(self.clock.instant(deadline), receiver.recv()).await;
                let end = match result {
                    Ok(Some(result)) => {
                        results.push(Ok(result));
                        continue;
                    }
                    Ok(None) => {
                        tracing::error!("the evaluation of a schema panicked");
                        NotJudged::Failed
                    }
                    Err(_) => NotJudged::Overdue {
                        deadline_ms: self.deadline_ms,
                    },
                };
                results.push(Err(end));
                break;
            }
        }
        results
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::*;

    const OVERDUE: NotJudged = NotJudged::Overdue { deadline_ms: 50 };

    #[tokio::test]
    async fn stuck_thread_misses_its_deadline_and_delays_no_other() {
        let workers = Workers::start(1, 50, Clock::system()).unwrap();
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let stuck = move |item: &u32| {
            if *item == 2 {
                let _ = held.lock().recv();
            }
            *item
        };
        let results = workers.each(vec![1, 2, 3], stuck).await;
        assert_eq!(results, [Ok(1), Err(OVERDUE), Ok(3)]);
        assert_eq!(workers.run(|| 7).await, Ok(7), "the thread is still stuck");
        // Ends although the thread is stuck.
        drop(workers);
        drop(release);
    }

    #[tokio::test]
    async fn panic_ends_its_own_evaluation_only() {
        let workers = Workers::start(1, 60_000, Clock::system()).unwrap();
        let results = workers.each(vec![1, 2, 3], |item| {
            assert_ne!(*item, 2, "told to panic");
            *item
        });
        assert_eq!(results.await, [Ok(1), Err(NotJudged::Failed), Ok(3)]);
    }
}
