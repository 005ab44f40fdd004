//! Sources over HTTP. They belong to the operator: a bound key sees none.

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
use crate::documents::model::SourceDocument;
use crate::store::documents::{DocumentKind, DocumentName};

struct Sources;

impl Resource for Sources {
    type Document = SourceDocument;
    const KIND: DocumentKind = DocumentKind::Source;
    const NAME: fn(String) -> DocumentName = DocumentName::Source;
    const WRAP: fn(SourceDocument) -> Document = Document::Source;
    const OWNS: Option<fn(&Connection, &str) -> bool> = None;

    fn sees(_: &ApiState, caller: &Caller, _: &str) -> bool {
        caller.subscription.is_none()
    }
}

endpoints!(
    Sources,
    SourceDocument,
    "Source",
    "source",
    "/v1/sources",
    "/v1/sources/{name}",
    (("name" = String, Path)),
    "Unfinished jobs need it, or the configuration file manages it."
);
