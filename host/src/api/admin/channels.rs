//! Channels over HTTP. A bound key sees the channels that its subscription may connect to.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Uri};

use super::document_view::DocumentView;
use super::resource::{self, Resource, endpoints};
use crate::api::http::custom_verb::Segments;
use crate::api::http::page::Page;
use crate::api::http::problem::ApiError;
use crate::api::http::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::documents::catalogue::Connection;
use crate::documents::configuration::Document;
use crate::documents::model::ChannelDocument;
use crate::store::documents::{DocumentKind, DocumentName};

pub struct Channels;

impl Resource for Channels {
    type Document = ChannelDocument;
    const KIND: DocumentKind = DocumentKind::Channel;
    const NAME: fn(String) -> DocumentName = DocumentName::Channel;
    const WRAP: fn(ChannelDocument) -> Document = Document::Channel;
    const OWNS: Option<fn(&Connection, &str) -> bool> =
        Some(|connection, name| connection.channel.name == name);

    fn sees(state: &ApiState, caller: &Caller, name: &str) -> bool {
        let catalogue = state.configuration.catalogue();
        match caller.subscription {
            None => catalogue.channel(name).is_some(),
            Some(own) => catalogue
                .subscription_by_id(own)
                .is_some_and(|own| catalogue.channel_for(&own.name, name).is_some()),
        }
    }
}

endpoints!(
    Channels,
    ChannelDocument,
    "Channel",
    "channel",
    "/v1/channels",
    "/v1/channels/{name}",
    (
        ("name" = String, Path),
        ("cancel_jobs" = Option<bool>, Query,
            description = "Also cancel its waiting jobs and delete its connections."),
    ),
    "Unfinished jobs or connections need it, or the configuration file manages it."
);
