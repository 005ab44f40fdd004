//! The outermost layer: stamps every request at its head, refuses calls that break a limit, and
//! ends calls.
//!
//! The body of a refused call is read to its end, too. A connection that is closed with unread
//! bytes is reset, and the client might never see its 429.

use std::{error::Error, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;

use crate::{
    arrivals::{Arrival, CallEnd, Ended, FaultDecision},
    refusal::Refusal,
    scenario::Scenario,
    state::ShopState,
};

use super::listener::Peer;

/// The layer reads at most this many bytes of a body, and closes the connection with a 413 beyond
/// them. Clients should meet `max_body_bytes` of the scenario first.
const READ_BYTES: usize = 64 * 1_024 * 1_024;

/// A request extension: the admitted call that a handler serves.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// The call's position in the log of calls.
    pub(crate) seq: u64,
    pub(crate) faults: FaultDecision,
    /// The scenario at the arrival.
    pub(crate) scenario: Arc<Scenario>,
}

/// A response extension: what a handler reports about the call that it served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    /// The number of items in the call.
    pub(crate) items: u64,
    /// Close the connection; the client must not see this answer.
    pub(crate) dropped: bool,
}

/// Handles calls to the shop's surface and passes everything else on.
pub(crate) async fn record_arrival(
    State(state): State<Arc<ShopState>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !(path.starts_with("/v1/") || path == "/oauth/token") {
        return next.run(request).await;
    }
    let arrival = state
        .arrivals()
        .arrive(&state.clock, request.method().clone(), path);
    let open = OpenCall::new(&state, &arrival);

    let (mut parts, body) = request.into_parts();
    let bytes = to_bytes(body, READ_BYTES).await;
    let peer = parts.extensions.get::<ConnectInfo<Peer>>().cloned();
    let response = match (arrival.verdict, bytes) {
        (Err(refusal), _) => refusal.into_response(),
        (Ok(_), Err(error)) => unread(&error, arrival.scenario.max_body_bytes).into_response(),
        (Ok(faults), Ok(bytes)) => {
            parts.extensions.insert(Admitted {
                seq: arrival.seq,
                faults,
                scenario: arrival.scenario,
            });
            next.run(Request::from_parts(parts, Body::from(bytes)))
                .await
        }
    };
    open.end(&response, peer.map(|ConnectInfo(peer)| peer));
    response
}

/// The refusal for a body that could not be read.
fn unread(error: &axum::Error, max_body_bytes: u64) -> Refusal {
    if error
        .source()
        .is_some_and(|source| source.is::<LengthLimitError>())
    {
        return Refusal::BodyTooLarge { max_body_bytes };
    }
    Refusal::body_invalid("", format!("the body is incomplete: {error}"))
}

/// An open call. It ends in every case: if the client disconnects, the server drops the future and
/// with it this value.
struct OpenCall {
    state: Arc<ShopState>,
    ended: Ended,
}

impl OpenCall {
    fn new(state: &Arc<ShopState>, arrival: &Arrival) -> Self {
        Self {
            state: Arc::clone(state),
            ended: Ended {
                epoch: arrival.epoch,
                seq: arrival.seq,
                counted: arrival.counted,
                end: CallEnd::Abandoned,
                status: 0,
                items: 0,
            },
        }
    }

    fn end(mut self, response: &Response, peer: Option<Peer>) {
        let served = response.extensions().get::<Served>().copied();
        let Served { items, dropped } = served.unwrap_or_default();
        self.ended.items = items;
        match peer.filter(|_| dropped) {
            Some(peer) => {
                tracing::debug!(peer = %peer.addr, call = self.ended.seq, "answer dropped");
                peer.kill_switch.cut();
                self.ended.end = CallEnd::Dropped;
            }
            None => {
                self.ended.end = CallEnd::Answered;
                self.ended.status = response.status().as_u16();
            }
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.state.arrivals().end(&self.state.clock, &self.ended);
    }
}
