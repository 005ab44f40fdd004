//! The entity tag of an execution.

use egression_core::domain::state::JobState;
use http::HeaderValue;
use serde::Serialize;

use crate::api::http::etag;
use crate::documents::catalogue::{Catalogue, Connection, ConnectionState};
use crate::store::rows::ExecutionStatus;

/// Covers the stored state, with pauses and parked connections. It leaves out values that follow
/// from the clock (`eta`) or the scheduler (the rest of `waiting`), so that a long poll ends only
/// when the work changes.
pub fn tag(catalogue: &Catalogue, status: &ExecutionStatus) -> HeaderValue {
    /// Connection, belt, total, jobs by state, jobs by stored waiting reason, and whether anything
    /// was sent.
    type Belt = (i64, u32, u64, [u64; 9], [u64; 5], bool);
    #[derive(Serialize)]
    struct State<'a> {
        seal: Option<i64>,
        refused: u64,
        flags: (bool, bool, Option<i64>, Option<i64>),
        belts: Vec<Belt>,
        /// Connections that hold waiting jobs: whether the channel is paused, and the connection's
        /// own state.
        held: Vec<(i64, bool, &'a str)>,
        errors: Vec<(&'a str, u64)>,
    }
    let row = &status.row;
    let holds = |connection: &Connection| {
        connection.channel.paused || connection.state != ConnectionState::Active
    };
    let waiting = status
        .progress
        .iter()
        .filter(|row| row.belt.states[JobState::Waiting as usize] > 0);
    let held = waiting
        .filter_map(|row| catalogue.connection_by_id(row.connection))
        .filter(|connection| holds(connection));
    let state = State {
        held: held
            .map(|c| (c.id.0, c.channel.paused, c.state.as_str()))
            .collect(),
        seal: row.seal,
        refused: row.refused,
        flags: (
            row.paused,
            row.cancel_requested_at.is_some(),
            row.completed_at.map(|at| at.0),
            row.expires_at.map(|at| at.0),
        ),
        belts: status
            .progress
            .iter()
            .map(|p| {
                let waits = [
                    p.scheduled,
                    p.retrying,
                    p.sourcing,
                    p.blocked,
                    p.belt.set_aside,
                ];
                (
                    p.connection.0,
                    p.belt.belt,
                    p.belt.total,
                    p.belt.states,
                    waits,
                    p.sent,
                )
            })
            .collect(),
        errors: status
            .errors
            .iter()
            .map(|group| (group.code.as_str(), group.jobs))
            .collect(),
    };
    etag::of_state(&serde_json::to_vec(&state).unwrap_or_default())
}
