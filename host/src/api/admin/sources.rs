//! Sources over HTTP. A bound key sees the sources that its subscription may name. A bound admin
//! changes those that belong to its subscription alone.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Uri};

use super::document_view::DocumentView;
use super::resource::{self, Resource, endpoints};
use super::{documents, tenant_rights};
use crate::api::http::custom_verb::Segments;
use crate::api::http::page::Page;
use crate::api::http::problem::ApiError;
use crate::api::http::query::Query;
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::documents::catalogue::{Connection, Source};
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

    fn sees(state: &ApiState, caller: &Caller, name: &str) -> bool {
        let catalogue = state.configuration.catalogue();
        match caller.subscription {
            None => catalogue.source(name).is_some(),
            Some(own) => catalogue
                .subscription_by_id(own)
                .is_some_and(|own| catalogue.source_for(&own.name, name).is_some()),
        }
    }

    fn require_writer(state: &ApiState, caller: &Caller, name: &str) -> Result<(), ApiError> {
        caller.require(Role::Admin)?;
        if caller.subscription.is_some() {
            own(state, caller, name)?;
        }
        Ok(())
    }

    fn permit(
        state: &ApiState,
        caller: &Caller,
        asked: &SourceDocument,
    ) -> Result<Option<i64>, ApiError> {
        if caller.subscription.is_none() {
            return Ok(None);
        }
        // Read again: the operator may have revoked something while the body arrived.
        let present = own(state, caller, &asked.name)?;
        tenant_rights::check_source(asked, &present.document)?;
        Ok(Some(present.version))
    }
}

/// The source, if it belongs to the subscription of a bound key alone. Names are unique among all
/// tenants, so only the operator creates a source: a name that is taken and one that is free get
/// the same answer.
fn own(state: &ApiState, caller: &Caller, name: &str) -> Result<Arc<Source>, ApiError> {
    let catalogue = state.configuration.catalogue();
    let subscription = caller
        .subscription
        .and_then(|own| catalogue.subscription_by_id(own));
    let source = subscription.and_then(|own| catalogue.source_for(&own.name, name));
    let missing = || documents::missing(&DocumentName::Source(name.to_owned()));
    let (subscription, source) = subscription.zip(source).ok_or_else(missing)?;
    if source.subscriptions.is_only(&subscription.name) {
        return Ok(Arc::clone(source));
    }
    Err(ApiError::Forbidden(
        "only the operator can change a source that several subscriptions may name".to_owned(),
    ))
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
