//! What the four kinds of documents have in common: reading and writing them over HTTP with `ETag`
//! and `If-Match`.
//!
//! A document is answered as it is written, with `status` beside its own fields; `status` is
//! ignored when it is sent back, so that what was read can be changed and written. Secrets never
//! come back: a marker stands for them.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use egression_core::domain::ids::ConnectionId;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::intake::body::{self, BodyBounds};
use crate::api::http::etag::{self, IfMatch};
use crate::api::http::problem::{ApiError, FieldError};
use crate::api::state::ApiState;
use crate::api::http::json_pointer;
use crate::api::http::page;
use crate::documents::configuration::{ConfigurationError, Document};
use crate::gate::Usage;
use crate::store::documents::{
    DocumentError, DocumentKind, DocumentName, ManagedBy, StoredDocument,
};

/// What the host knows of a document beside what it says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentStatus {
    /// Counts changes; what `If-Match` looks at. The `ETag` changes with `paused` and `state` as
    /// well.
    pub version: i64,
    /// `file` or `api`. What the file looks after cannot be changed here.
    #[schema(example = "api")]
    pub managed_by: String,
    /// Of a channel: paused by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Of a connection: active, paused, parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "active")]
    pub state: Option<String>,
    /// Why it is not active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of one connection: requests made against what its limits would have admitted while there was
    /// work, since the host started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_used: Option<Usage>,
}

/// A document as answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentView<T> {
    /// What it says.
    #[serde(flatten)]
    pub document: T,
    /// What the host knows of it.
    pub status: DocumentStatus,
}

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

/// One document.
pub async fn get(
    state: &ApiState,
    name: &DocumentName,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let stored = state
        .store
        .document(name)
        .await?
        .ok_or_else(|| missing(name))?;
    let tag = tag(&stored);
    if etag::is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut view = view(&stored)?;
    if matches!(name, DocumentName::Connection { .. }) {
        // A reading of the moment, like the state beside it: it does not change the ETag.
        view["status"]["limit_used"] =
            serde_json::to_value(state.scheduling.limit_used(ConnectionId(stored.id)))
                .unwrap_or_default();
    }
    Ok(([(header::ETAG, tag)], axum::Json(view)).into_response())
}

/// All documents of a kind that pass the filter, by name.
pub async fn list(
    state: &ApiState,
    kind: DocumentKind,
    uri: &Uri,
    keep: impl Fn(&StoredDocument) -> bool,
) -> Result<Response, ApiError> {
    let stored = state.store.documents(kind).await?;
    let items = stored
        .iter()
        .filter(|document| keep(document))
        .map(view)
        .collect::<Result<Vec<Value>, _>>()?;
    Ok(page::answer(uri, items, None))
}

/// Writes a document. `fixed`: the fields that the path gives; the body may repeat them.
///
/// # Errors
/// 400 with the places, 409 if the file looks after it, 412 if a precondition does not hold.
pub async fn put<T: DeserializeOwned>(
    state: &ApiState,
    headers: &HeaderMap,
    content: Body,
    fixed: &[(&str, &str)],
    wrap: fn(T) -> Document,
) -> Result<Response, ApiError> {
    put_permitted(state, headers, content, fixed, |_| Ok(None), wrap).await
}

/// The same for a document that the caller may write only in part: `permit` says what it may not,
/// once the body is here, and which version it compared the document with (0: none is there). Over
/// another one it is not written.
///
/// # Errors
/// As [`put`], and what `permit` says.
pub async fn put_permitted<T: DeserializeOwned>(
    state: &ApiState,
    headers: &HeaderMap,
    content: Body,
    fixed: &[(&str, &str)],
    permit: impl Fn(&T) -> Result<Option<i64>, ApiError>,
    wrap: fn(T) -> Document,
) -> Result<Response, ApiError> {
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
            "it was changed meanwhile; read it again".to_owned(),
        ));
    }
    let if_match = wanted.or(compared);
    let configuration = state.configuration.clone();
    // In a task of its own: a change is written, and its secrets kept, as a whole, even if the
    // client leaves.
    let task =
        tokio::spawn(async move { configuration.put(document, ManagedBy::Api, if_match).await });
    let put = task
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))??;
    let code = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((
        code,
        [(header::ETAG, tag(&put.stored))],
        axum::Json(view(&put.stored)?),
    )
        .into_response())
}

/// Removes a document. With `cancel`, the waiting jobs of these connections are cancelled first,
/// and the connections go too.
///
/// # Errors
/// 404, 409 while unfinished jobs or other documents need it (with `cancel` only for as long as
/// jobs are in flight), 412.
pub async fn delete(
    state: &ApiState,
    headers: &HeaderMap,
    name: DocumentName,
    cancel: Option<Vec<(ConnectionId, DocumentName)>>,
) -> Result<Response, ApiError> {
    let stored = state
        .store
        .document(&name)
        .await?
        .ok_or_else(|| missing(&name))?;
    let if_match = precondition(state, headers, &name).await?;
    // Everything that can refuse is asked before the first job is cancelled.
    if let Some(wanted) = if_match.filter(|wanted| *wanted != stored.version) {
        return Err(ApiError::Precondition(format!(
            "it is at version {}, not {wanted}",
            stored.version
        )));
    }
    if stored.managed_by == ManagedBy::File {
        return Err(DocumentError::ManagedByFile.into());
    }
    for (_, own_name) in cancel.iter().flatten() {
        if state
            .store
            .document(own_name)
            .await?
            .is_some_and(|own| own.managed_by == ManagedBy::File)
        {
            let detail =
                format!("the configuration file looks after {own_name}; remove it there first");
            return Err(ApiError::Conflict {
                code: "managed_by_file",
                detail,
            });
        }
    }
    let state = state.clone();
    let task = tokio::spawn(async move {
        for (connection, own_name) in cancel.into_iter().flatten() {
            let (changes, end) = state
                .store
                .cancel_connection(connection, state.clock.wall())
                .await;
            state.scheduling.changed(changes);
            end?;
            // What is being sent has its true outcome first.
            let jobs = state.store.jobs_under_way(connection).await?;
            if jobs > 0 {
                return Err(ApiError::UnderWay {
                    name: own_name.to_string(),
                    jobs,
                });
            }
            if own_name != name {
                state
                    .configuration
                    .delete(&own_name, ManagedBy::Api, None)
                    .await?;
            }
        }
        state
            .configuration
            .delete(&name, ManagedBy::Api, if_match)
            .await?;
        Ok::<_, ApiError>(())
    });
    task.await
        .map_err(|error| ApiError::Internal(error.to_string()))??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// There is no such document, or it is another tenant's.
#[must_use]
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

/// What `If-Match` and `If-None-Match: *` ask for, as the version to insist on.
async fn precondition(
    state: &ApiState,
    headers: &HeaderMap,
    name: &DocumentName,
) -> Result<Option<i64>, ApiError> {
    let if_match = etag::if_match(headers)?;
    if if_match == IfMatch::Absent && !etag::must_be_new(headers) {
        return Ok(None);
    }
    let current = state
        .store
        .document(name)
        .await?
        .map(|document| document.version);
    match (if_match, current) {
        // The store takes version 0 as "is not there": of two that make it at once, one finds that
        // it is.
        (IfMatch::Absent, None) => Ok(Some(0)),
        (IfMatch::Absent, Some(version)) => Err(ApiError::Precondition(format!(
            "it is there already, at version {version}"
        ))),
        (_, None) => Err(ApiError::Precondition("it is not there".to_owned())),
        (IfMatch::Exists, Some(version)) => Ok(Some(version)),
        (IfMatch::Version(wanted), Some(_)) => Ok(Some(wanted)),
    }
}

/// The entity tag of a document with its status.
fn tag(stored: &StoredDocument) -> HeaderValue {
    let state = match stored.name {
        DocumentName::Channel(_) if stored.paused => "paused".to_owned(),
        DocumentName::Connection { .. } if stored.state != "active" => {
            format!(
                "{} {}",
                stored.state,
                stored.state_reason.as_deref().unwrap_or_default()
            )
        }
        _ => String::new(),
    };
    etag::of_document(stored.version, &state)
}

/// A stored document with its status.
fn view(stored: &StoredDocument) -> Result<Value, ApiError> {
    let mut document: Map<String, Value> = serde_json::from_str(&stored.json)
        .map_err(|error| ApiError::Internal(format!("{:?}: {error}", stored.name)))?;
    let is_connection = matches!(stored.name, DocumentName::Connection { .. });
    let status = DocumentStatus {
        version: stored.version,
        managed_by: if stored.managed_by == ManagedBy::File {
            "file"
        } else {
            "api"
        }
        .to_owned(),
        paused: matches!(stored.name, DocumentName::Channel(_)).then_some(stored.paused),
        state: is_connection.then(|| stored.state.clone()),
        reason: stored.state_reason.clone().filter(|_| is_connection),
        limit_used: None,
    };
    document.insert(
        "status".to_owned(),
        serde_json::to_value(status).map_err(|error| ApiError::Internal(error.to_string()))?,
    );
    Ok(Value::Object(document))
}

/// A document from a body: without `status`, and with the fields of the path.
fn read<T: DeserializeOwned>(text: &[u8], fixed: &[(&str, &str)]) -> Result<T, FieldError> {
    let mut fields: Map<String, Value> = json_pointer::read(text)?;
    fields.remove("status");
    for (field, value) in fixed {
        match fields.get(*field) {
            Some(own) if own != value => {
                return Err(FieldError::new(
                    format!("/{field}"),
                    "invalid_value",
                    format!("expected `{value}`, as in the path"),
                ));
            }
            Some(_) => {}
            None => {
                fields.insert((*field).to_owned(), Value::from(*value));
            }
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

    #[test]
    fn the_path_gives_the_name_and_status_is_ignored() {
        let channel: ChannelDocument = read(
            br#"{"connector":"sandbox","status":{"version":3}}"#,
            &[("name", "shop-de")],
        )
        .unwrap();
        assert_eq!(channel.name, "shop-de");
        let error = read::<ChannelDocument>(
            br#"{"name":"shop-fr","connector":"sandbox"}"#,
            &[("name", "shop-de")],
        )
        .unwrap_err();
        assert_eq!(error.pointer, "/name");
    }

    #[test]
    fn wrong_places_are_named() {
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
            let error = read::<ChannelDocument>(text, &[("name", "a")]).unwrap_err();
            assert_eq!(error.pointer, pointer, "{}", error.detail);
        }
        let error = read::<ConnectionDocument>(
            br#"{"auth":{"scheme":"basic"}}"#,
            &[("channel", "c"), ("subscription", "s")],
        )
        .unwrap_err();
        assert!(error.pointer.starts_with("/auth"), "{error:?}");
    }
}
