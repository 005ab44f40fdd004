//! `POST /v1/documents:apply`: applies the text of a configuration file as documents that the API
//! manages.
//!
//! The host checks the whole text before it writes anything: shape, values, references, secrets,
//! and whether the host's own file manages one of the documents. It ignores a `[server]` table,
//! which is for the start of a host.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::http::detached::detached;
use crate::api::http::problem::{ApiError, FieldError};
use crate::api::http::query::Query;
use crate::api::intake::body::{self, BodyBounds};
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::documents::catalogue::Catalogue;
use crate::documents::configuration::{Configuration, Document, Put};
use crate::documents::model::{
    ChannelDocument, ConnectionDocument, Documents, SourceDocument, SubscriptionDocument,
};
use crate::documents::validate::Issue;
use crate::documents::{structs_from_objects, toml_position, validate};
use crate::store::documents::DocumentName;

/// The documents that were applied.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppliedView {
    /// In the order of the writes.
    pub applied: Vec<AppliedDocument>,
}

/// A document that was written.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppliedDocument {
    /// subscription, source, channel, connection.
    #[schema(example = "channel")]
    pub kind: String,
    /// The name; `channel/subscription` for a connection.
    pub name: String,
    /// The current version. It grows only if the document changed.
    pub version: i64,
    /// The document is new.
    pub created: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Text {
    #[serde(rename = "server")]
    _server: Option<toml::Table>,
    subscriptions: Vec<SubscriptionDocument>,
    sources: Vec<SourceDocument>,
    channels: Vec<ChannelDocument>,
    connections: Vec<ConnectionDocument>,
}

/// Apply a configuration text (TOML)
///
/// Documents that the text does not contain remain unchanged.
#[utoipa::path(
    post, path = "/v1/documents:apply", tag = "configure", operation_id = "applyDocuments",
    request_body(content = String, content_type = "application/toml",
        description = "The format of the host's configuration file."),
    responses(
        (status = 200, description = "All documents are in force.", body = AppliedView),
        (status = 400, description = "Invalid; nothing was written. Pointers have the form \
                                      `/channels/0/partition`."),
        (status = 409, description = "The configuration file manages one of the documents; nothing \
                                      was written."),
    ),
)]
pub async fn apply_documents(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require_operator()?;
    let (parts, content) = request.into_parts();
    body::require_media_type(&parts.headers, "application/toml")?;
    let bounds = BodyBounds::from_now(
        &state,
        state.settings.document_max_bytes,
        "api.document_max_bytes",
    );
    let (text, _) = body::read_whole(&parts.headers, content, bounds).await?;
    let documents = read(&text)?;
    let catalogue = state.configuration.catalogue();
    let mut wrong: Vec<FieldError> = validate::set(&documents)
        .into_iter()
        .map(field_error)
        .collect();
    wrong.extend(dangling(&documents, &catalogue));
    wrong.extend(unfit_for_channel(&documents, &catalogue, &state.configuration).await);
    if !wrong.is_empty() {
        return Err(ApiError::invalid(wrong));
    }
    let ordered = in_order(documents);
    let puts = detached(async move { state.configuration.put_set(ordered).await }).await?;
    let applied = |put: Put| {
        let (kind, name) = shown(put.stored.name);
        AppliedDocument {
            kind: kind.to_owned(),
            name,
            version: put.stored.version,
            created: put.created,
        }
    };
    let applied = puts.into_iter().map(applied).collect();
    Ok(axum::Json(AppliedView { applied }).into_response())
}

fn field_error(issue: Issue) -> FieldError {
    FieldError::new(issue.pointer, issue.code, issue.detail)
}

fn read(text: &[u8]) -> Result<Documents, ApiError> {
    let malformed = |pointer, detail: String| {
        ApiError::malformed(FieldError::new(pointer, "malformed_toml", detail))
    };
    let text = std::str::from_utf8(text)
        .map_err(|_| malformed(String::new(), "the text is not UTF-8".to_owned()))?;
    let text: Text = toml::Deserializer::parse(text)
        .and_then(structs_from_objects::by_name)
        .map_err(|error| {
            let start = error.span().map(|span| span.start);
            let pointer = start
                .map(|start| toml_position::pointer_at(text, start))
                .unwrap_or_default();
            // Only the message: the error's full text repeats the line, which may contain a secret.
            let line = text
                .as_bytes()
                .iter()
                .take(start.unwrap_or(0))
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            malformed(pointer, format!("line {line}: {}", error.message()))
        })?;
    Ok(Documents {
        subscriptions: text.subscriptions,
        sources: text.sources,
        channels: text.channels,
        connections: text.connections,
    })
}

/// Names of channels and subscriptions that are neither in the text nor in force.
fn dangling(documents: &Documents, catalogue: &Catalogue) -> Vec<FieldError> {
    let known = |name: &str| {
        catalogue.subscription(name).is_some()
            || documents.subscriptions.iter().any(|d| d.name == name)
    };
    let mut wrong = Vec::new();
    for (kind, index, audience) in validate::audiences(documents) {
        let unknown = validate::unknown_members(audience, known).into_iter();
        wrong.extend(unknown.map(|i| field_error(i.under(&format!("/{kind}/{index}")))));
    }
    for (index, connection) in documents.connections.iter().enumerate() {
        let (channel, subscription) = (&connection.channel, &connection.subscription);
        if catalogue.channel(channel).is_none()
            && !documents.channels.iter().any(|d| d.name == *channel)
        {
            wrong.push(FieldError::new(
                format!("/connections/{index}/channel"),
                "reference.missing",
                format!("unknown channel `{channel}`"),
            ));
        }
        if !known(subscription) {
            let detail = format!("unknown subscription `{subscription}`");
            wrong.push(FieldError::new(
                format!("/connections/{index}/subscription"),
                "reference.missing",
                detail,
            ));
        }
    }
    wrong
}

/// Connections that their channel does not take: it does not list the subscription, or its
/// connector refuses the settings. The channel may be in the text, too.
async fn unfit_for_channel(
    documents: &Documents,
    catalogue: &Catalogue,
    configuration: &Configuration,
) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    for (index, connection) in documents.connections.iter().enumerate() {
        let given = documents
            .channels
            .iter()
            .find(|channel| channel.name == connection.channel);
        let in_force = || {
            catalogue
                .channel(&connection.channel)
                .map(|channel| &channel.document)
        };
        let Some(channel) = given.or_else(in_force) else {
            continue;
        };
        let issues = configuration.settings_issues(channel, connection).await;
        let issues = issues
            .into_iter()
            .chain(validate::unlisted(channel, connection));
        let place = format!("/connections/{index}");
        wrong.extend(issues.map(|i| field_error(i.under(&place))));
    }
    wrong
}

/// The documents with their pointers, ordered so that each names only earlier ones.
fn in_order(documents: Documents) -> Vec<(String, Document)> {
    fn placed<T>(
        kind: &'static str,
        documents: Vec<T>,
        wrap: fn(T) -> Document,
    ) -> impl Iterator<Item = (String, Document)> {
        documents
            .into_iter()
            .enumerate()
            .map(move |(index, document)| (format!("/{kind}/{index}"), wrap(document)))
    }
    placed(
        "subscriptions",
        documents.subscriptions,
        Document::Subscription,
    )
    .chain(placed("sources", documents.sources, Document::Source))
    .chain(placed("channels", documents.channels, Document::Channel))
    .chain(placed(
        "connections",
        documents.connections,
        Document::Connection,
    ))
    .collect()
}

fn shown(name: DocumentName) -> (&'static str, String) {
    match name {
        DocumentName::Subscription(name) => ("subscription", name),
        DocumentName::Source(name) => ("source", name),
        DocumentName::Channel(name) => ("channel", name),
        DocumentName::Connection {
            channel,
            subscription,
        } => ("connection", format!("{channel}/{subscription}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn configuration_text_is_read_without_its_server_table() {
        let text = b"[server]\nlisten = \"127.0.0.1:1\"\n[[channels]]\nname = \"a\"\nconnector = \
                     \"c\"\n[[connections]]\nsubscription = \"s\"\nchannel = \"b\"\n";
        let documents = read(text).unwrap();
        let wrong = dangling(&documents, &Catalogue::default());
        let places: Vec<&str> = wrong.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(
            places,
            ["/connections/0/channel", "/connections/0/subscription"]
        );
        assert_eq!(in_order(documents).len(), 2);
    }

    #[test]
    fn configuration_text_errors_name_the_line() {
        for bad in [
            &b"[[channels]\n"[..],
            b"[[chanels]]\nname = \"a\"\n",
            b"[[channels]]\nname = 4\n",
            b"\xff",
        ] {
            assert_eq!(read(bad).unwrap_err().status(), 400);
        }
    }
}
