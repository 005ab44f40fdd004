//! The dispatcher's messages.

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, TypeHash};
use egression_core::scheduler::{Head, LaneKey};
use egression_core::time::Wall;
use tokio::sync::oneshot;

use crate::delivery::{Finished, Probe};
use crate::store::rows::{Changes, LanePage, OpenExecution};

#[derive(Debug)]
pub enum Message {
    Sealed(ExecutionSeq),
    /// An execution was paused or resumed.
    Paused(ExecutionSeq, bool),
    /// People or time changed jobs outside of a call.
    Changed(Changes),
    Configured,
    /// An execution was read; `None`: it is done.
    Opened(ExecutionSeq, Option<Box<OpenExecution>>),
    Page(LaneKey, LanePage),
    /// Heads were read: of keys that became free, or jobs whose wait for others ended.
    Heads(Vec<Head>),
    Due(Vec<Head>, Changes),
    /// When the next wait ends.
    NextDue(Option<Wall>),
    Finished(Box<Finished>, TypeHash),
    /// A person asks whether a connection works.
    Check(ConnectionId, oneshot::Sender<Option<Probe>>),
    Probed(ConnectionId, Option<Probe>),
    /// A connection's state was written.
    Kept(ConnectionId),
    /// Stop starting calls. Answered when no call is in flight.
    Drain(oneshot::Sender<()>),
}
