//! The threads on which guests run. Their priority is below that of the host's own threads.
//!
//! A call starts on the threads of light calls. Once it has computed for [`LIGHT_US`], it continues
//! on the threads of heavy calls, whose priority is lower still. So a guest that loops, fills its
//! memory or polls without end shares threads with its like, and the many calls that compute little
//! between two requests do not wait behind it.

use std::pin::Pin;
use std::task::Poll;

use tokio::runtime::{Builder, Handle, Runtime};

use super::cpu_budget::Meter;
use crate::runtime::thread_priority;

/// How long a call may compute and still be light.
pub const LIGHT_US: u64 = 5_000;
const LIGHT_NICE: i32 = 3;
const HEAVY_NICE: i32 = 10;

pub struct GuestThreads {
    /// `None` only while this is dropped.
    light: Option<Runtime>,
    heavy: Option<Runtime>,
}

impl GuestThreads {
    /// Starts `workers` threads of each kind.
    pub fn start(workers: usize) -> std::io::Result<Self> {
        Ok(Self {
            light: Some(threads("egression-guest", workers, LIGHT_NICE)?),
            heavy: Some(threads("egression-heavy", workers, HEAVY_NICE)?),
        })
    }

    /// Runs a call to its end. `meter` measures it.
    pub fn spawn(&self, meter: Meter, call: impl Future<Output = ()> + Send + 'static) {
        let (Some(light), Some(heavy)) = (&self.light, &self.heavy) else {
            return;
        };
        let heavy = heavy.handle().clone();
        light.spawn(async move {
            let mut call: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(call);
            let ended = std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if meter.used_us() >= LIGHT_US => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            });
            // The first poll on the other threads replaces the wakers of this task.
            if !ended.await {
                heavy.spawn(call);
            }
        });
    }

    /// The light threads, for the runtime's own short tasks.
    pub fn light(&self) -> Option<&Handle> {
        self.light.as_ref().map(Runtime::handle)
    }
}

fn threads(name: &str, workers: usize, nice: i32) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name(name)
        .on_thread_start(move || thread_priority::lower(nice))
        // A guest that loops runs for a whole tick at a time. The runtime must check deadlines and
        // answers after every two ticks, not after every sixty.
        .event_interval(2)
        .global_queue_interval(2)
        .enable_time()
        .build()
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        for threads in [self.light.take(), self.heavy.take()].into_iter().flatten() {
            // Running guests end at their next tick.
            threads.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn call_that_computes_continues_with_a_lower_priority() {
        let meter = Meter::new(Clock::system());
        let threads = GuestThreads::start(1).unwrap();
        let (light, heavy) = (thread_priority::current() + LIGHT_NICE, HEAVY_NICE);
        let (sender, receiver) = oneshot::channel();
        let computing = meter.clone();
        threads.spawn(meter, async move {
            let before = thread_priority::current();
            tokio::task::yield_now().await;
            let between = thread_priority::current();
            computing.charge_us(LIGHT_US);
            tokio::task::yield_now().await;
            let _ = sender.send([before, between, thread_priority::current()]);
        });
        let [before, between, after] = receiver.await.unwrap();
        assert_eq!((before, between), (LIGHT_NICE, LIGHT_NICE), "{light}");
        assert_eq!(after, heavy);
    }
}
