//! The outermost layer: stamps every request at its head, refuses what breaks a limit, ends calls.
//!
//! A refused call's body is read to its end all the same: a connection closed with unread bytes
//! would be reset, and the client might never see its 429.

use std::{error::Error, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::LengthLimitError;

use crate::{
    calls::CallEnd,
    door::{Arrival, Ended},
    faults::Fate,
    floor::Floor,
    listener::Peer,
    refusal::Refusal,
    scenario::Scenario,
};

/// Bytes of a body that are read at all. Beyond, the connection is closed with a 413; the bound
/// that clients should meet is `max_body_bytes` in the scenario.
const READ_BYTES: usize = 64 * 1_024 * 1_024;

/// What a handler knows about the call that it serves, as a request extension.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// The call's place in the log of calls.
    pub(crate) seq: u64,
    pub(crate) fate: Fate,
    /// The scenario as it was at the arrival.
    pub(crate) scenario: Arc<Scenario>,
}

/// What a handler says about the call that it served, as a response extension.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    /// Items that the call carried.
    pub(crate) items: u64,
    /// Close the connection; this answer must not be seen.
    pub(crate) dropped: bool,
}

/// The layer. Only calls on the shop's surface are its business; everything else passes.
pub(crate) async fn pass(
    State(floor): State<Arc<Floor>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !(path.starts_with("/v1/") || path == "/oauth/token") {
        return next.run(request).await;
    }
    let arrival = floor
        .door()
        .arrive(&floor.clock, request.method().clone(), path);
    let visit = Visit::new(&floor, &arrival);

    let (mut parts, body) = request.into_parts();
    let bytes = to_bytes(body, READ_BYTES).await;
    let peer = parts.extensions.get::<ConnectInfo<Peer>>().cloned();
    let response = match (arrival.verdict, bytes) {
        (Err(refusal), _) => refusal.into_response(),
        (Ok(_), Err(error)) => unread(&error, arrival.scenario.max_body_bytes).into_response(),
        (Ok(fate), Ok(bytes)) => {
            parts.extensions.insert(Admitted {
                seq: arrival.seq,
                fate,
                scenario: arrival.scenario,
            });
            next.run(Request::from_parts(parts, Body::from(bytes)))
                .await
        }
    };
    visit.end(&response, peer.map(|ConnectInfo(peer)| peer));
    response
}

/// The refusal of a body that could not be read.
fn unread(error: &axum::Error, max_body_bytes: u64) -> Refusal {
    if error
        .source()
        .is_some_and(|source| source.is::<LengthLimitError>())
    {
        return Refusal::BodyTooLarge { max_body_bytes };
    }
    Refusal::body_invalid("", format!("the body broke off: {error}"))
}

/// A call from its arrival to its end, which comes in every case: if the client goes away, the
/// server drops the future and with it the visit.
struct Visit {
    floor: Arc<Floor>,
    ended: Ended,
}

impl Visit {
    fn new(floor: &Arc<Floor>, arrival: &Arrival) -> Self {
        Self {
            floor: Arc::clone(floor),
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

impl Drop for Visit {
    fn drop(&mut self) {
        self.floor.door().end(&self.floor.clock, &self.ended);
    }
}
