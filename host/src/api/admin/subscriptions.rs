//! Subscriptions over HTTP. A bound key sees only its own.

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
use crate::documents::model::SubscriptionDocument;
use crate::store::documents::{DocumentKind, DocumentName};

struct Subscriptions;

impl Resource for Subscriptions {
    type Document = SubscriptionDocument;
    const KIND: DocumentKind = DocumentKind::Subscription;
    const NAME: fn(String) -> DocumentName = DocumentName::Subscription;
    const WRAP: fn(SubscriptionDocument) -> Document = Document::Subscription;
    const OWNS: Option<fn(&Connection, &str) -> bool> =
        Some(|connection, name| connection.subscription.name == name);

    fn sees(state: &ApiState, caller: &Caller, name: &str) -> bool {
        let catalogue = state.configuration.catalogue();
        catalogue
            .subscription(name)
            .is_some_and(|found| caller.sees(found.id))
    }
}

endpoints!(
    Subscriptions,
    SubscriptionDocument,
    "Subscription",
    "subscription",
    "/v1/subscriptions",
    "/v1/subscriptions/{name}",
    (
        ("name" = String, Path),
        ("cancel_jobs" = Option<bool>, Query,
            description = "Also cancel its waiting jobs and delete its connections."),
    ),
    "Unfinished jobs or connections need it, or the configuration file manages it."
);
