//! Connectors: uploading, listing and activating them. The runtime validates and compiles them.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::http::cursor::List;
use crate::api::http::custom_verb::Segments;
use crate::api::http::detached::detached;
use crate::api::http::page::{self, Page};
use crate::api::http::problem::{ApiError, FieldError};
use crate::api::http::query::Query;
use crate::api::intake::body::{self, BodyBounds};
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::runtime::{Description, InstallError};
use crate::store::connectors::ConnectorRow;

/// A page of connectors ends when their descriptions have more bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// An installed connector with its versions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorView {
    #[schema(example = "sandbox")]
    pub name: String,
    /// The version that new calls use.
    pub active: Option<String>,
    /// All installed versions, oldest first.
    pub versions: Vec<ConnectorVersion>,
    /// Only in the response to `:activate`: differences to the version before, and connections that
    /// are parked because their settings are invalid now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// One version of a connector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorVersion {
    pub name: String,
    /// A semantic version.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// The size of the component.
    pub size_bytes: u64,
    /// New calls use this version.
    pub active: bool,
    /// When it was installed.
    pub installed_at: String,
    /// Its own description.
    pub description: Description,
    /// Only in the response to the installation: differences to the version that was active before,
    /// and connections that are parked because their settings are invalid now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// The body of `:activate`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateRequest {
    /// An installed version.
    #[schema(example = "0.1.0")]
    pub version: String,
}

/// Install a connector
///
/// The body is a WebAssembly component of the world `egression:connector`. The host validates it
/// (`describe`, its imports against the granted ones, a trial instantiation), stores it by digest,
/// and adds it as a version. A version never changes; other bytes need another version. If the host
/// refuses the component, the active version remains. The compilation ends if the client
/// disconnects.
#[utoipa::path(
    post, path = "/v1/connectors", tag = "configure", operation_id = "installConnector",
    params(("activate" = Option<bool>, Query,
        description = "`false` only installs the version. By default, new calls use it at once.")),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 201, description = "Installed.", body = ConnectorVersion,
            headers(("Location" = String))),
        (status = 413, description = "Too large."),
        (status = 415, description = "Content-Type is not application/wasm."),
        (status = 422, description = "Refused, with the reason: not a component, too large or too \
                                      slow to compile, the wrong world, imports that are not \
                                      granted, a trap, or an existing version with other bytes."),
        (status = 503, description = "The compiler is busy with other components."),
    ),
)]
pub async fn install_connector(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    let activate = query.flag_or("activate", true)?;
    query.finish()?;
    caller.require_operator()?;
    let (parts, content) = request.into_parts();
    body::require_media_type(&parts.headers, "application/wasm")?;
    let bounds = BodyBounds::from_now(
        &state,
        state.settings.connector_max_bytes,
        "api.connector_max_bytes",
    );
    let (component, _) = body::read_whole(&parts.headers, content, bounds).await?;
    // Ends with the client: a compilation can be expensive, and changes nothing.
    let candidate = state.registry.check(Bytes::from(component)).await?;
    let own = state.clone();
    let (row, differences) = detached(async move {
        let installed = own.registry.install(candidate, activate).await?;
        let mut differences = installed.differences;
        differences.extend(after_change(&own, &installed.name).await);
        let row = own.registry.row(&installed.name, &installed.version);
        let missing = || ApiError::Internal("the installed version is not listed".to_owned());
        Ok::<_, ApiError>((row.ok_or_else(missing)?, differences))
    })
    .await?;
    tracing::info!(
        connector = row.name,
        version = row.version,
        digest = row.digest,
        actor = caller.key_id,
        "connector installed"
    );
    let location = HeaderValue::from_str(&format!("/v1/connectors/{}", row.name))
        .unwrap_or(HeaderValue::from_static("/v1/connectors"));
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        axum::Json(ConnectorVersion {
            differences,
            ..version(row)?
        }),
    )
        .into_response())
}

/// List the installed connectors
///
/// By name. A page ends early when its descriptions are long. A key that is bound to a subscription
/// sees the connectors of the channels that the subscription may connect to.
#[utoipa::path(
    get, path = "/v1/connectors", tag = "configure", operation_id = "listConnectors",
    params(
        ("limit" = Option<u32>, Query, description = "The most connectors of a page."),
        ("cursor" = Option<String>, Query, description = "The cursor from the previous page."),
    ),
    responses((status = 200, description = "A page, by name.", body = Page<ConnectorView>,
        headers(("Link" = String, description = "rel=next")))),
)]
pub async fn list_connectors(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    uri: Uri,
) -> Result<Response, ApiError> {
    let limit = query.limit()? as usize;
    let after = query.named_cursor(List::Connectors)?;
    query.finish()?;
    let mut names = state.store.connector_names().await?;
    names.retain(|name| after.as_ref().is_none_or(|after| name > after));
    names.retain(|name| sees(&state, &caller, name));
    let (mut page, mut bytes, mut next) = (Vec::<ConnectorView>::new(), 0, None);
    for name in names {
        if let Some(last) = page.last()
            && (page.len() == limit || bytes > PAGE_BYTES)
        {
            next = Some(List::Connectors.named_cursor(&last.name));
            break;
        }
        let rows = state.store.connector_versions(&name).await?;
        bytes += rows.iter().map(|row| row.description.len()).sum::<usize>();
        page.push(view(&name, rows)?);
    }
    Ok(page::answer(&uri, page, next))
}

/// Get a connector with its versions
#[utoipa::path(
    get, path = "/v1/connectors/{name}", tag = "configure", operation_id = "getConnector",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "The connector with all its versions.", body = ConnectorView),
        (status = 404, description = "Unknown connector."),
    ),
)]
pub async fn get_connector(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = segments.one();
    if !sees(&state, &caller, &name) {
        return Err(ApiError::not_found("connector", name));
    }
    Ok(axum::Json(one(&state, &name).await?).into_response())
}

/// Activate an installed version of a connector
///
/// The version can be newer or older than the active one.
#[utoipa::path(
    post, path = "/v1/connectors/{name}:activate", tag = "configure",
        operation_id = "activateConnector",
    params(("name" = String, Path)),
    request_body = ActivateRequest,
    responses(
        (status = 200, description = "Activated. New calls use the version; calls in flight end on \
                                      the version that they started with.", body = ConnectorView),
        (status = 400, description = "Malformed request, or the version is not installed."),
        (status = 404, description = "Unknown connector."),
    ),
)]
pub async fn activate_connector(
    state: ApiState,
    caller: Caller,
    name: &str,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_operator()?;
    let (parts, content) = request.into_parts();
    let wanted: ActivateRequest = body::read_json(&state, &parts.headers, content).await?;
    let before = one(&state, name).await?;
    let (own, owned, version) = (state.clone(), name.to_owned(), wanted.version.clone());
    let activated = detached(async move {
        let mut differences = own.registry.differences(&owned, &version);
        let activated = own.registry.activate(&owned, &version).await?;
        if activated {
            differences.extend(after_change(&own, &owned).await);
        }
        Ok::<_, ApiError>(activated.then_some(differences))
    });
    let Some(differences) = activated.await? else {
        let known: Vec<&str> = before.versions.iter().map(|v| v.version.as_str()).collect();
        let detail = format!(
            "version `{}` is not installed, expected one of {}",
            wanted.version,
            known.join(", ")
        );
        return Err(ApiError::invalid(vec![FieldError::new(
            "/version",
            "invalid_value",
            detail,
        )]));
    };
    tracing::info!(
        connector = name,
        version = wanted.version,
        actor = caller.key_id,
        "connector activated"
    );
    Ok(axum::Json(ConnectorView {
        differences,
        ..one(&state, name).await?
    })
    .into_response())
}

/// Parks the connections whose settings are invalid now, and returns those of this connector.
async fn after_change(state: &ApiState, connector: &str) -> Vec<String> {
    let catalogue = state.configuration.catalogue();
    let uses = |channel: &str| {
        let channel = catalogue.channel(channel);
        channel.is_some_and(|channel| channel.document.connector == connector)
    };
    let parked = match state.configuration.park_invalid_settings().await {
        Ok(invalid) => {
            let own = invalid.iter().filter(|invalid| uses(&invalid.channel));
            own.map(ToString::to_string).collect()
        }
        Err(error) => {
            tracing::warn!(
                %error,
                connector,
                "connections with invalid settings could not be parked"
            );
            Vec::new()
        }
    };
    state.connectors_changed.notify_one();
    parked
}

impl From<InstallError> for ApiError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Store(error) => error.into(),
            InstallError::CompilerBusy { .. } => Self::Busy {
                code: "connector.compiler_busy",
                detail: error.to_string(),
                retry_after_s: 5,
            },
            other => Self::ConnectorRefused {
                code: other.code().to_owned(),
                detail: other.to_string(),
            },
        }
    }
}

/// An unbound key sees every connector. A bound key sees the connectors of the channels that its
/// subscription may connect to.
fn sees(state: &ApiState, caller: &Caller, connector: &str) -> bool {
    let Some(own) = caller.subscription else {
        return true;
    };
    let catalogue = state.configuration.catalogue();
    let Some(own) = catalogue.subscription_by_id(own) else {
        return false;
    };
    let mut channels = catalogue.channels();
    channels.any(|c| c.connector == connector && c.subscriptions.contains(&own.name))
}

async fn one(state: &ApiState, name: &str) -> Result<ConnectorView, ApiError> {
    let rows = state.store.connector_versions(name).await?;
    if rows.is_empty() {
        return Err(ApiError::not_found("connector", name));
    }
    view(name, rows)
}

fn view(name: &str, rows: Vec<ConnectorRow>) -> Result<ConnectorView, ApiError> {
    let active = rows.iter().find(|row| row.active);
    Ok(ConnectorView {
        name: name.to_owned(),
        active: active.map(|row| row.version.clone()),
        versions: rows.into_iter().map(version).collect::<Result<_, _>>()?,
        differences: Vec::new(),
    })
}

fn version(row: ConnectorRow) -> Result<ConnectorVersion, ApiError> {
    let description = serde_json::from_str(&row.description)
        .map_err(|error| ApiError::Internal(format!("connector {}: {error}", row.name)))?;
    Ok(ConnectorVersion {
        name: row.name,
        version: row.version,
        digest: row.digest,
        size_bytes: row.size_bytes,
        active: row.active,
        installed_at: row.installed_at.to_rfc3339(),
        description,
        differences: Vec::new(),
    })
}
