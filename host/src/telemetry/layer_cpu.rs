//! CPU time by layer of the host.
//!
//! The layers share the threads of one runtime, so the time of a thread does not name a layer.
//! [`Layer::measure`] adds the time of a future's polls to its layer. If another measured future is
//! polled inside, its time belongs to its own layer only.
//!
//! Reading the time of a thread is a system call. So only a share of the outermost polls is
//! measured, with all polls inside them, and counts for the others ([`SAMPLED`]). The choice does
//! not depend on the poll, so the sum over many polls is right.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use rustix::time::{ClockId, Timespec, clock_gettime};
use strum::{EnumCount, IntoStaticStr, VariantArray};

/// One outermost poll of this many is measured.
const SAMPLED: u32 = 32;

/// A part of the host that uses CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumCount, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Layer {
    Api,
    Dispatch,
    Delivery,
    /// Guests, without the host's functions that they call.
    Runtime,
    Gate,
    StoreReaders,
    StoreWriter,
}

/// Nanoseconds by layer.
static USED: [AtomicU64; Layer::COUNT] = [const { AtomicU64::new(0) }; Layer::COUNT];

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(Current::Outside) };
    static DRAWN: Cell<u32> = const { Cell::new(0x9E37_79B9) };
}

/// The state of a thread: the layer whose future it polls, if that poll is measured.
#[derive(Clone, Copy)]
enum Current {
    /// Nothing.
    Outside,
    Skipped,
    Sampled {
        layer: Layer,
        since_ns: u64,
    },
}

pin_project! {
    /// A future whose polls count for a layer.
    pub struct Measured<F> {
        layer: Layer,
        #[pin]
        future: F,
    }
}

impl Layer {
    /// Counts the future's polls for this layer.
    pub const fn measure<F: Future>(self, future: F) -> Measured<F> {
        Measured {
            layer: self,
            future,
        }
    }

    /// Runs work that counts for this layer.
    pub fn run<T>(self, work: impl FnOnce() -> T) -> T {
        let _inside = Inside::enter(self);
        work()
    }

    /// The measured nanoseconds since the start of the process.
    pub fn used_ns(self) -> u64 {
        USED[self as usize].load(Ordering::Relaxed)
    }

    fn add(self, ns: u64) {
        USED[self as usize].fetch_add(ns * u64::from(SAMPLED), Ordering::Relaxed);
    }
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _inside = Inside::enter(*this.layer);
        this.future.poll(cx)
    }
}

/// One poll. A panic ends it, too.
struct Inside {
    before: Current,
}

impl Inside {
    fn enter(layer: Layer) -> Self {
        let before = CURRENT.get();
        CURRENT.set(match before {
            Current::Outside if is_drawn() => Current::Sampled {
                layer,
                since_ns: thread_ns(),
            },
            Current::Outside | Current::Skipped => Current::Skipped,
            Current::Sampled {
                layer: outer,
                since_ns,
            } => {
                let now = thread_ns();
                outer.add(now - since_ns);
                Current::Sampled {
                    layer,
                    since_ns: now,
                }
            }
        });
        Self { before }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let after = match (CURRENT.get(), self.before) {
            (Current::Sampled { layer, since_ns }, before) => {
                let now = thread_ns();
                layer.add(now - since_ns);
                match before {
                    Current::Sampled { layer, .. } => Current::Sampled {
                        layer,
                        since_ns: now,
                    },
                    outside => outside,
                }
            }
            (_, before) => before,
        };
        CURRENT.set(after);
    }
}

/// Xorshift: the same sequence in each thread, which no poll depends on.
fn is_drawn() -> bool {
    let mut drawn = DRAWN.get();
    drawn ^= drawn << 13;
    drawn ^= drawn >> 17;
    drawn ^= drawn << 5;
    DRAWN.set(drawn);
    drawn.is_multiple_of(SAMPLED)
}

fn thread_ns() -> u64 {
    ns(clock_gettime(ClockId::ThreadCPUTime))
}

/// The CPU time of this process.
pub fn process_ns() -> u64 {
    ns(clock_gettime(ClockId::ProcessCPUTime))
}

fn ns(time: Timespec) -> u64 {
    let (seconds, rest) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute_us(us: u64) {
        let end = thread_ns() + us * 1000;
        while thread_ns() < end {}
    }

    #[tokio::test]
    async fn nested_layer_counts_for_itself_only() {
        for _ in 0..2_000 {
            let inner = Layer::Gate.measure(async { compute_us(30) });
            let outer = Layer::Delivery.measure(async {
                compute_us(10);
                inner.await;
            });
            outer.await;
        }
        let (outer, inner) = (Layer::Delivery.used_ns(), Layer::Gate.used_ns());
        let total = f64::from(2_000) * 40_000.0;
        let measured = (outer + inner) as f64 / total;
        assert!((0.7..1.4).contains(&measured), "{measured}");
        let share = outer as f64 / (outer + inner) as f64;
        assert!((0.2..0.35).contains(&share), "{share}");
    }

    #[tokio::test]
    async fn panic_ends_the_poll() {
        for _ in 0..SAMPLED * 8 {
            let broken = Layer::Api.measure(async { panic!("a defect") });
            let broken: tokio::task::JoinHandle<()> = tokio::spawn(broken);
            assert!(broken.await.is_err());
            assert!(matches!(CURRENT.get(), Current::Outside));
        }
    }
}
