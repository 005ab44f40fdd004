//! The limits as they are now: their use, and which of them a destination closed.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use egression_core::domain::ids::{Owner, SubscriptionId};
use egression_core::scheduler::limits::LimitKind;
use egression_core::time::Wall;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ends_by::{self, EndsBy};
use super::find;
use crate::api::http::page::{self, Page};
use crate::api::http::problem::ApiError;
use crate::api::http::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::gate::LimitReport;

/// A limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// The name in waiting reasons, and for `:reopen`.
    #[schema(example = "channel:shop-de/channel#1")]
    pub key: String,
    /// token_bucket, window, concurrency, min_interval; `own` for the connection's or the source's
    /// own key, which a throttle without a limit's name closes.
    #[schema(example = "token_bucket")]
    pub kind: String,
    /// Who shares it: connection, channel, connector, source.
    #[schema(example = "channel")]
    pub scope: String,
    /// The name of that connection (`subscription/channel`), channel, connector or source.
    #[schema(example = "shop-de")]
    pub owner: String,
    /// The name of the cost that it counts; null: it counts requests.
    pub counts: Option<String>,
    /// Requests that it admitted since the host started.
    pub admitted: u64,
    /// The share that its connection used of the requests that all of its limits together would
    /// have admitted while jobs waited only for them. Null for a shared limit, and below 500
    /// requests.
    pub used_share: Option<f64>,
    /// Until when the destination closed it; null: it is open.
    pub closed_until: Option<String>,
    /// What reopens it; null: it is open.
    pub ends_by: Option<EndsBy>,
    /// Jobs of open belts that it holds now.
    pub waiting: u64,
}

/// List limits
///
/// Those of the connections that the key sees; a key for all subscriptions also sees those of
/// sources.
#[utoipa::path(
    get, path = "/v1/limits", tag = "follow", operation_id = "listLimits",
    params(
        ("channel" = Option<String>, Query, description = "Only those of this channel."),
        ("subscription" = Option<String>, Query, description = "Only those of this subscription."),
        ("source" = Option<String>, Query, description = "Only those of this source."),
    ),
    responses(
        (status = 200, description = "All of them, by key.", body = Page<LimitView>),
        (status = 404, description = "Unknown subscription."),
    ),
)]
pub async fn list_limits(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    uri: http::Uri,
) -> Result<Response, ApiError> {
    let (channel, source) = (query.take("channel")?, query.take("source")?);
    let named = query.take("subscription")?;
    query.finish()?;
    let subscription = find::subscription(&state, &caller, named)?;
    let catalogue = state.configuration.catalogue();
    let wanted = |owner: &Owner| match owner {
        Owner::Connection(id) => catalogue.connection_by_id(*id).is_some_and(|connection| {
            source.is_none()
                && subscription.is_none_or(|id| connection.subscription.id == id)
                && channel
                    .as_ref()
                    .is_none_or(|name| connection.channel.name == *name)
        }),
        Owner::Source(id) => catalogue.source_by_id(*id).is_some_and(|found| {
            channel.is_none()
                && subscription.is_none()
                && source.as_ref().is_none_or(|name| found.name == *name)
        }),
        Owner::Subscription(_) | Owner::Channel(_) => false,
    };
    let reports = state.gate.limits().into_iter();
    let items: Vec<LimitView> = reports
        .filter(|report| sees(&state, &caller, report) && report.owners.iter().any(wanted))
        .map(|report| view(&state, &report))
        .collect();
    Ok(page::answer(&uri, items, None))
}

/// Whether a limit exists for the caller: it shares it.
pub fn sees(state: &ApiState, caller: &Caller, report: &LimitReport) -> bool {
    caller.subscription.is_none() || {
        let mut subscriptions = subscriptions(state, report).into_iter();
        subscriptions.any(|subscription| caller.subscription == subscription)
    }
}

/// Whether all who share a limit belong to the caller.
pub fn owns(state: &ApiState, caller: &Caller, report: &LimitReport) -> bool {
    caller.subscription.is_none() || {
        let shared = subscriptions(state, report);
        shared == BTreeSet::from([caller.subscription]) && report.key.0.starts_with("connection:")
    }
}

/// The subscriptions that share a limit; none for that of a source.
fn subscriptions(state: &ApiState, report: &LimitReport) -> BTreeSet<Option<SubscriptionId>> {
    let catalogue = state.configuration.catalogue();
    let of = |owner: &Owner| match owner {
        Owner::Connection(id) => catalogue
            .connection_by_id(*id)
            .filter(|found| {
                found
                    .channel
                    .subscriptions
                    .contains(&found.subscription.name)
            })
            .map(|connection| connection.subscription.id),
        _ => None,
    };
    report.owners.iter().map(of).collect()
}

pub fn view(state: &ApiState, report: &LimitReport) -> LimitView {
    let key = report.key.0.to_string();
    let (scope, owner) = shared_by(state, report);
    let used_share = match (report.owners.as_slice(), report.kind) {
        ([owner], Some(_)) => state.gate.usage(*owner).and_then(|usage| usage.used),
        _ => None,
    };
    LimitView {
        kind: report.kind.map_or("own", kind_name).to_owned(),
        scope,
        owner,
        counts: report.counts.clone(),
        admitted: report.admitted,
        used_share,
        closed_until: report.closed_until.map(Wall::to_rfc3339),
        ends_by: report
            .closed_until
            .map(|until| ends_by::closed_limit(&key, until)),
        waiting: state.view().held_by_limit(&key, 0).jobs,
        key,
    }
}

const fn kind_name(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::TokenBucket { .. } => "token_bucket",
        LimitKind::Window { .. } | LimitKind::FixedWindow { .. } => "window",
        LimitKind::Concurrency { .. } => "concurrency",
        LimitKind::MinInterval { .. } => "min_interval",
    }
}

/// The scope and the owner's name, from the key's first part.
fn shared_by(state: &ApiState, report: &LimitReport) -> (String, String) {
    let catalogue = state.configuration.catalogue();
    let first = report.key.0.split('/').next().unwrap_or_default();
    let (scope, name) = first.split_once(':').unwrap_or((first, ""));
    let label = match report.owners.first() {
        Some(Owner::Connection(id)) if scope == "connection" => {
            catalogue.connection_by_id(*id).map(|found| found.label())
        }
        Some(Owner::Source(id)) => catalogue.source_by_id(*id).map(|found| found.name.clone()),
        _ => None,
    };
    (scope.to_owned(), label.unwrap_or_else(|| name.to_owned()))
}
