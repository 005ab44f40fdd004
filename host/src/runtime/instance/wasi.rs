//! WASI 0.2 with an empty context. Guests of each language import it. Clocks and randomness work;
//! files, environment and sockets are empty; waiting ends at the call's deadline.
//!
//! Only `wasi:io/poll` can make a guest wait, because standard output and error always accept data,
//! standard input is at its end, and there is nothing else to read. So this module replaces poll.

use std::future::Future;

use tokio::time::{Instant, timeout_at};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll;

use super::cpu_budget::{HostTrap, Meter};
use super::guest_state::GuestState;

/// Adds all of WASI 0.2 with the poll of this module.
pub fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<GuestState, HasPollables>(linker, GuestState::pollables)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasPollables;

impl HasData for HasPollables {
    type Data<'a> = Pollables<'a>;
}

/// The pollables of an instance, and when waiting for them ends.
pub struct Pollables<'a> {
    pub table: &'a mut ResourceTable,
    pub until: Instant,
    pub meter: &'a Meter,
}

impl poll::Host for Pollables<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        counted(self.meter).await;
        until(self.until, poll::Host::poll(self.table, pollables)).await
    }
}

impl poll::HostPollable for Pollables<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        counted(self.meter).await;
        poll::HostPollable::ready(self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        counted(self.meter).await;
        until(self.until, poll::HostPollable::block(self.table, pollable)).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}

/// Counts a poll, and yields after many polls that were ready at once: a guest that polls in a
/// tight loop computes, although each poll looks like a wait.
async fn counted(meter: &Meter) {
    meter.count_host_call();
    tokio::task::consume_budget().await;
}

async fn until<R>(
    deadline: Instant,
    waiting: impl Future<Output = wasmtime::Result<R>>,
) -> wasmtime::Result<R> {
    timeout_at(deadline, waiting)
        .await
        .unwrap_or_else(|_| Err(wasmtime::Error::new(HostTrap::Deadline)))
}
