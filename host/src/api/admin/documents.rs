//! Reading, writing and deleting one document, with its preconditions.
//!
//! A body may contain `status`, which is ignored, so that a client can change and send what it
//! read.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use egression_core::domain::ids::{ConnectionId, Owner};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::document_view::{tag, view};
use crate::api::http::detached::detached;
use crate::api::http::etag::{self, IfMatch};
use crate::api::http::problem::{ApiError, FieldError};
use crate::api::http::{json_pointer, page};
use crate::api::intake::body::{self, BodyBounds};
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::documents::catalogue::Catalogue;
use crate::documents::configuration::{ConfigurationError, Document};
use crate::store::documents::{
    DocumentError, DocumentKind, DocumentName, LISTED, ManagedBy, StoredDocument,
};

impl From<ConfigurationError> for ApiError {
    fn from(error: ConfigurationError) -> Self {
        match error {
            ConfigurationError::Invalid { issues } => Self::invalid(
                issues
                    .into_iter()
                    .map(|issue| FieldError::new(issue.pointer, issue.code, issue.detail))
                    .collect(),
            ),
            ConfigurationError::Document(DocumentError::Missing(what)) => {
                Self::invalid(vec![FieldError::new(
                    "",
                    "reference.missing",
                    format!("{what} does not exist"),
                )])
            }
            ConfigurationError::Document(error) => error.into(),
            ConfigurationError::Secret(error) => Self::Internal(error.to_string()),
        }
    }
}

pub async fn get(
    state: &ApiState,
    caller: &Caller,
    name: &DocumentName,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let stored = find(state, name).await?;
    let catalogue = state.configuration.catalogue();
    let tag = tag(&catalogue, &stored);
    if etag::is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut view = view(&catalogue, caller, &stored)?;
    if matches!(name, DocumentName::Connection { .. }) {
        // A current reading, like the state next to it. It does not change the ETag.
        let used = state.gate.usage(Owner::Connection(ConnectionId(stored.id)));
        view["status"]["limit_used"] = serde_json::to_value(used).unwrap_or_default();
    }
    Ok(([(header::ETAG, tag)], axum::Json(view)).into_response())
}

/// All documents of a kind that pass the filter, by name.
pub async fn list(
    state: &ApiState,
    caller: &Caller,
    kind: DocumentKind,
    uri: &Uri,
    keep: impl Fn(&StoredDocument) -> bool,
) -> Result<Response, ApiError> {
    let stored = state.store.documents(kind).await?;
    let catalogue = state.configuration.catalogue();
    let kept = stored.iter().filter(|document| keep(document));
    let items = kept.map(|document| view(&catalogue, caller, document));
    let items = items.collect::<Result<Vec<Value>, _>>()?;
    Ok(page::answer(uri, items, None))
}

/// Writes a document. `fixed`: the fields that the path gives; the body may repeat them. `permit`
/// refuses what the caller may not write, once the body is read. It returns the version that it
/// compared the body with (0: none), and the write fails if another version is there by then.
/// Errors: 400 with the places, 409 if the file manages it, 412 if a precondition fails.
pub async fn put<T: DeserializeOwned>(
    state: &ApiState,
    caller: &Caller,
    request: Request,
    fixed: &[(&str, String)],
    permit: impl Fn(&T) -> Result<Option<i64>, ApiError>,
    wrap: fn(T) -> Document,
) -> Result<Response, ApiError> {
    let (parts, content) = request.into_parts();
    let headers = &parts.headers;
    body::require_media_type(headers, "application/json")?;
    let bounds = BodyBounds::from_now(
        state,
        state.settings.document_max_bytes,
        "api.document_max_bytes",
    );
    let (text, _) = body::read_whole(headers, content, bounds).await?;
    let asked: T = read(body::without_mark(&text), fixed).map_err(ApiError::malformed)?;
    let compared = permit(&asked)?;
    let document = wrap(asked);
    let wanted = precondition(state, headers, &document.name()).await?;
    if compared.is_some() && wanted.is_some() && compared != wanted {
        return Err(ApiError::Precondition(
            "the document changed meanwhile; read it again".to_owned(),
        ));
    }
    let if_match = wanted.or(compared);
    let configuration = state.configuration.clone();
    let put = detached(async move { configuration.put(document, ManagedBy::Api, if_match).await })
        .await?;
    let code = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let catalogue = state.configuration.catalogue();
    let tag = [(header::ETAG, tag(&catalogue, &put.stored))];
    let view = view(&catalogue, caller, &put.stored)?;
    Ok((code, tag, axum::Json(view)).into_response())
}

/// Deletes a document. With `cancel`, first cancels the waiting jobs of these connections and
/// deletes the connections. Errors: 404; 409 while unfinished jobs or other documents need it (with
/// `cancel`, only while jobs are in flight); 412.
pub async fn delete(
    state: &ApiState,
    headers: &HeaderMap,
    name: DocumentName,
    cancel: Option<Vec<(ConnectionId, DocumentName)>>,
) -> Result<Response, ApiError> {
    let stored = find(state, &name).await?;
    let if_match = precondition(state, headers, &name).await?;
    // Everything that can refuse is checked before the first job is cancelled.
    if let Some(wanted) = if_match.filter(|wanted| *wanted != stored.version) {
        return Err(ApiError::Precondition(format!(
            "the document is at version {}, not {wanted}",
            stored.version
        )));
    }
    if stored.managed_by == ManagedBy::File {
        return Err(DocumentError::ManagedByFile.into());
    }
    for (_, own_name) in cancel.iter().flatten() {
        let own = state.store.document(own_name).await?;
        if own.is_some_and(|own| own.managed_by == ManagedBy::File) {
            return Err(ApiError::Conflict {
                code: "managed_by_file",
                detail: format!(
                    "the configuration file manages {own_name}; remove it from the file first"
                ),
            });
        }
    }
    if is_listed(&state.configuration.catalogue(), &name) {
        return Err(DocumentError::InUse(format!("{name} is needed: {LISTED}")).into());
    }
    let state = state.clone();
    detached::<_, ApiError>(async move {
        for (connection, own_name) in cancel.into_iter().flatten() {
            let now = state.clock.wall();
            let (changes, end) = state.store.cancel_connection(connection, now).await;
            state.dispatcher.changed(changes).await;
            end?;
            // Jobs in flight keep their true outcome.
            let jobs = state.store.jobs_under_way(connection).await?;
            if jobs > 0 {
                return Err(ApiError::JobsInFlight {
                    name: own_name.to_string(),
                    jobs,
                });
            }
            if own_name != name {
                let configuration = &state.configuration;
                configuration
                    .delete(&own_name, ManagedBy::Api, None)
                    .await?;
            }
        }
        let configuration = &state.configuration;
        configuration
            .delete(&name, ManagedBy::Api, if_match)
            .await?;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether a source or channel lists this subscription.
fn is_listed(catalogue: &Catalogue, name: &DocumentName) -> bool {
    let DocumentName::Subscription(name) = name else {
        return false;
    };
    let sources = catalogue.sources().map(|source| &source.subscriptions);
    let channels = catalogue.channels().map(|channel| &channel.subscriptions);
    let mut audiences = sources.chain(channels);
    audiences.any(|audience| audience.names().contains(name))
}

async fn find(state: &ApiState, name: &DocumentName) -> Result<StoredDocument, ApiError> {
    let stored = state.store.document(name).await?;
    stored.ok_or_else(|| missing(name))
}

/// The same error for an unknown document and for one of another tenant.
pub fn missing(name: &DocumentName) -> ApiError {
    match name {
        DocumentName::Subscription(name) => ApiError::not_found("subscription", name),
        DocumentName::Source(name) => ApiError::not_found("source", name),
        DocumentName::Channel(name) => ApiError::not_found("channel", name),
        DocumentName::Connection {
            channel,
            subscription,
        } => ApiError::not_found("connection", format!("{channel}/{subscription}")),
    }
}

/// The version that `If-Match` or `If-None-Match: *` requires. 0: the document must not exist.
async fn precondition(
    state: &ApiState,
    headers: &HeaderMap,
    name: &DocumentName,
) -> Result<Option<i64>, ApiError> {
    let if_match = etag::if_match(headers);
    if if_match == IfMatch::Absent && !etag::must_be_new(headers) {
        return Ok(None);
    }
    let current = state.store.document(name).await?;
    let failed = match (if_match, current.map(|document| document.version)) {
        // The store checks again: of two requests that create it at once, one fails.
        (IfMatch::Absent, None) => return Ok(Some(0)),
        (IfMatch::Absent, Some(version)) => {
            format!("the document exists already, at version {version}")
        }
        (_, None) => "the document does not exist".to_owned(),
        (IfMatch::Exists, Some(version)) => return Ok(Some(version)),
        (IfMatch::Versions(versions), Some(version)) if versions.contains(&version) => {
            return Ok(Some(version));
        }
        (IfMatch::Versions(_), Some(version)) => {
            format!("the document is at version {version}, which `If-Match` does not list")
        }
    };
    Err(ApiError::Precondition(failed))
}

/// A document from a body: without `status`, and with the fields of the path.
fn read<T: DeserializeOwned>(text: &[u8], fixed: &[(&str, String)]) -> Result<T, FieldError> {
    let mut fields: Map<String, Value> = json_pointer::read(text)?;
    fields.remove("status");
    for (field, value) in fixed {
        let own = fields
            .entry(*field)
            .or_insert_with(|| value.as_str().into());
        if own != value {
            return Err(FieldError::new(
                format!("/{field}"),
                "invalid_value",
                format!("expected `{value}`, as in the path"),
            ));
        }
    }
    let text = serde_json::to_vec(&fields)
        .map_err(|error| FieldError::new("", "malformed_json", error.to_string()))?;
    json_pointer::read(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::documents::model::{ChannelDocument, ConnectionDocument};

    fn channel(text: &[u8], name: &str) -> Result<ChannelDocument, FieldError> {
        read(text, &[("name", name.to_owned())])
    }

    #[test]
    fn document_takes_its_name_from_the_path_and_ignores_status() {
        let text = br#"{"connector":"sandbox","status":{"version":3}}"#;
        assert_eq!(channel(text, "shop-de").unwrap().name, "shop-de");
        let text = br#"{"name":"shop-fr","connector":"sandbox"}"#;
        assert_eq!(channel(text, "shop-de").unwrap_err().pointer, "/name");
    }

    #[test]
    fn document_errors_name_the_place() {
        for (text, pointer) in [
            (&br#"{"connector":"x","conector":"y"}"#[..], "/conector"),
            (br#"{"connector":7}"#, "/connector"),
            (
                br#"{"connector":"x","belts":[["a"],["b",1]]}"#,
                "/belts/1/1",
            ),
            (br#"{"connector":"x""#, "/connector"),
            (br#"[]"#, ""),
        ] {
            let error = channel(text, "a").unwrap_err();
            assert_eq!(error.pointer, pointer, "{}", error.detail);
        }
        let error = read::<ConnectionDocument>(
            br#"{"auth":{"scheme":"basic"}}"#,
            &[("channel", "c".into()), ("subscription", "s".into())],
        )
        .unwrap_err();
        assert!(error.pointer.starts_with("/auth"), "{error:?}");
    }
}
