//! Authentication: the layer that checks tokens, and the two ways to obtain one.
//!
//! `POST /oauth/token` is the client credentials grant of RFC 6749 (section 4.4) with the errors of
//! that RFC (section 5.2). `POST /v1/login` is a proprietary login, as many shops have one.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Query, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode, Uri,
        header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::json;

use crate::{refusal::Refusal, scenario::Credentials, state::ShopState};

use super::arrival_layer::Admitted;

/// The layer around every route that requires a token.
pub(crate) async fn authorize(
    State(state): State<Arc<ShopState>>,
    request: Request,
    next: Next,
) -> Response {
    let presented = header(request.headers(), "bearer").unwrap_or_default();
    let checked = state.tokens().check(presented, state.clock.now());
    match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// `GET /v1/account`.
pub(crate) async fn account(Extension(call): Extension<Admitted>) -> Response {
    Json(json!({
        "account": call.scenario.account,
        "scopes": ["catalogue:read", "catalogue:write"],
    }))
    .into_response()
}

/// `POST /v1/login`.
pub(crate) async fn login(
    State(state): State<Arc<ShopState>>,
    Extension(call): Extension<Admitted>,
    body: Bytes,
) -> Response {
    #[derive(Deserialize)]
    struct Login {
        api_key: String,
    }
    let login: Login = match serde_json::from_slice(&body) {
        Ok(login) => login,
        Err(error) => return Refusal::body_invalid("", error.to_string()).into_response(),
    };
    if login.api_key != call.scenario.credentials.api_key {
        return Refusal::LoginRefused.into_response();
    }
    let expires_in = call.scenario.token_ttl_s;
    let token = state.tokens().issue(state.clock.now(), expires_in);
    let account = &call.scenario.account;
    Json(json!({ "token": token, "expires_in": expires_in, "account": account })).into_response()
}

pub(crate) async fn oauth_token(
    State(state): State<Arc<ShopState>>,
    Extension(call): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut response = match grant(&headers, &body, &call.scenario.credentials) {
        Ok(()) => {
            let expires_in = call.scenario.token_ttl_s;
            let token = state.tokens().issue(state.clock.now(), expires_in);
            Json(json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": expires_in,
            }))
            .into_response()
        }
        Err(error) => error.into_response(),
    };
    // RFC 6749, section 5.1.
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The errors of RFC 6749 (section 5.2) that this endpoint returns.
enum GrantError {
    InvalidRequest,
    InvalidClient,
    UnsupportedGrantType,
}

impl IntoResponse for GrantError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        };
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"sandbox\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[derive(Deserialize)]
struct GrantForm {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// Checks a client credentials grant against the scenario's credentials.
fn grant(headers: &HeaderMap, body: &[u8], expected: &Credentials) -> Result<(), GrantError> {
    let form: GrantForm = form(body).ok_or(GrantError::InvalidRequest)?;
    match form.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(GrantError::UnsupportedGrantType),
        None => return Err(GrantError::InvalidRequest),
    }
    let (id, secret) = match header(headers, "basic") {
        Some(basic) => basic_pair(basic).ok_or(GrantError::InvalidClient)?,
        None => form
            .client_id
            .zip(form.client_secret)
            .ok_or(GrantError::InvalidClient)?,
    };
    if id == expected.client_id && secret == expected.client_secret {
        Ok(())
    } else {
        Err(GrantError::InvalidClient)
    }
}

/// The credentials in the `Authorization` header if it has this scheme, in any case.
fn header<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (name, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// The client id and secret from HTTP Basic. RFC 6749 (section 2.3.1) form-encodes both first.
fn basic_pair(basic: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Pair {
        id: String,
        secret: String,
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(basic).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let pair: Pair = form(format!("id={id}&secret={secret}").as_bytes())?;
    Some((pair.id, pair.secret))
}

/// Decodes a form. Forms and URI queries have the same encoding, so this uses the query decoder.
fn form<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    let uri: Uri = format!("/?{text}").parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(form)| form)
}
