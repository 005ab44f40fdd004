//! WASI 0.2 with nothing in it. Guests of every language import it; clocks and randomness work,
//! files, environment and sockets hold nothing, and whoever waits is ended at the call's deadline.
//!
//! Only `wasi:io/poll` can make a guest wait: standard output and error always take what they are
//! given, standard input is at its end, and there is nothing else to read. So poll is replaced.

use std::future::Future;

use tokio::time::{Instant, timeout_at};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll;

use super::budget::HostTrap;
use super::guest::GuestState;

/// Adds all of WASI 0.2 with the poll of this module.
pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<GuestState, HasWaiting>(linker, GuestState::waiting)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct HasWaiting;

impl HasData for HasWaiting {
    type Data<'a> = Waiting<'a>;
}

/// The pollables of an instance, and when waiting for them ends.
pub(super) struct Waiting<'a> {
    pub(super) table: &'a mut ResourceTable,
    pub(super) until: Instant,
}

impl poll::Host for Waiting<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        until(self.until, poll::Host::poll(self.table, pollables)).await
    }
}

impl poll::HostPollable for Waiting<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        until(self.until, poll::HostPollable::block(self.table, pollable)).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}

async fn until<R>(
    end: Instant,
    waiting: impl Future<Output = wasmtime::Result<R>>,
) -> wasmtime::Result<R> {
    match timeout_at(end, waiting).await {
        Ok(result) => result,
        Err(_) => Err(wasmtime::Error::new(HostTrap::Deadline)),
    }
}
