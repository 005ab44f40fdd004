//! Egression: ships commerce data to sales channels through sandboxed output connectors.
//!
//! # The flow of a job
//!
//! 1. **Submit** ([`api`]): a request is read as a stream, and each line is checked against the
//!    [`documents`] in force and expanded to one job per object and channel.
//! 2. **Stage and seal** ([`store`]): the jobs are stored in chunks that nobody sees; one small
//!    transaction seals them. From then on they are durable, and the response leaves.
//! 3. **Admit** ([`dispatch`], around `egression_core::scheduler`): the scheduler decides whose
//!    turn it is and packs jobs of one kind into a call.
//! 4. **Resolve** ([`delivery`], [`resolver`]): the bodies are read from their sources, in batches,
//!    and checked.
//! 5. **Intent** ([`store`]): before the first byte leaves, the intent to send is committed.
//! 6. **Invoke** ([`runtime`]): an instance of the connector gets the items. Its requests leave
//!    through the [`gate`], which checks grants and addresses, acquires limits, and adds
//!    credentials from the [`vault`].
//! 7. **Judge** ([`delivery`], with `egression_core::domain::judge`): the connector's answer, the
//!    channel's rules and the gate's evidence make one outcome.
//! 8. **Settle** ([`store`]): state, counters, events and dependents change in one transaction.
//! 9. **Track** ([`api`]): executions, jobs and their history are served from the store.
//!
//! # Layers
//!
//! Imports between the modules go down only. From the bottom: [`clock`] and [`rng`] (time and
//! randomness), [`telemetry`] (log and metrics), [`schemas`] (JSON Schemas, within bounds),
//! [`store`], [`vault`], [`documents`], [`gate`], [`resolver`] and [`runtime`], [`delivery`],
//! [`dispatch`], [`api`], [`settings`] (the server's settings and the configuration file), [`app`]
//! (puts the parts together), [`cli`].

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "this page is for readers of the code; cargo doc --document-private-items"
)]

mod api;
mod app;
mod cli;
mod clock;
mod delivery;
mod dispatch;
mod documents;
mod gate;
mod resolver;
mod rng;
mod runtime;
mod schemas;
mod settings;
mod store;
mod telemetry;
mod vault;

pub use cli::main;
