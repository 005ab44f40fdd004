//! Who may come in: tokens, the two ways to obtain one, and the layer that asks for one.
//!
//! `POST /oauth/token` is the client credentials grant of RFC 6749 (section 4.4), with that RFC's
//! own errors (section 5.2); `POST /v1/login` is a login as shops invent them.

use std::{collections::HashMap, sync::Arc};

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

use crate::{clock::Stamp, floor::Floor, gate::Admitted, refusal::Refusal, scenario::Credentials};

const US_PER_S: u64 = 1_000_000;

/// The tokens that were issued.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: HashMap<String, Token>,
    revocations: u64,
}

#[derive(Debug)]
struct Token {
    expires: Stamp,
    revoked: bool,
}

impl Tokens {
    /// Issues a token that is good for `ttl_s` seconds. Tokens are not drawn from the scenario's
    /// seed: one from before a restart or a reset must not come to life again.
    #[expect(
        clippy::disallowed_methods,
        reason = "a token must not be foreseeable from a seed"
    )]
    fn issue(&mut self, now: Stamp, ttl_s: u64) -> String {
        let token = format!("sbx_{:032x}", rand::random::<u128>());
        let issued = Token {
            expires: now.plus_us(ttl_s.saturating_mul(US_PER_S)),
            revoked: false,
        };
        self.issued.insert(token.clone(), issued);
        token
    }

    /// Whether the token is good at this instant.
    fn check(&self, token: &str, now: Stamp) -> Result<(), Refusal> {
        match self.issued.get(token) {
            None => Err(Refusal::TokenUnknown),
            Some(known) if known.revoked => Err(Refusal::TokenRevoked),
            Some(known) if known.expires <= now => Err(Refusal::TokenExpired),
            Some(_) => Ok(()),
        }
    }

    /// Revokes every token issued so far.
    pub(crate) fn revoke_all(&mut self) {
        self.revocations += 1;
        for token in self.issued.values_mut() {
            token.revoked = true;
        }
    }

    /// How many times all tokens were revoked.
    pub(crate) const fn revocations(&self) -> u64 {
        self.revocations
    }
}

/// The layer around everything that asks for a token.
pub(crate) async fn authorize(
    State(floor): State<Arc<Floor>>,
    request: Request,
    next: Next,
) -> Response {
    let presented = header(request.headers(), "bearer").unwrap_or_default();
    let checked = floor.tokens().check(presented, floor.clock.now());
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
    State(floor): State<Arc<Floor>>,
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
    let token = floor.tokens().issue(floor.clock.now(), expires_in);
    let account = &call.scenario.account;
    Json(json!({ "token": token, "expires_in": expires_in, "account": account })).into_response()
}

pub(crate) async fn oauth_token(
    State(floor): State<Arc<Floor>>,
    Extension(call): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut response = match grant(&headers, &body, &call.scenario.credentials) {
        Ok(()) => {
            let expires_in = call.scenario.token_ttl_s;
            let token = floor.tokens().issue(floor.clock.now(), expires_in);
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

/// The errors of RFC 6749, section 5.2, that can occur here.
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

/// Whether the request is a client credentials grant by the client of the scenario.
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

/// The credentials of the `Authorization` header, if it is of that scheme (in any case).
fn header<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (name, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// The client id and secret of HTTP Basic. RFC 6749, section 2.3.1, has both form-encoded first.
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

/// Reads a form. A form and the query of a URI have the same encoding, and the latter's decoder is
/// at hand.
fn form<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    let uri: Uri = format!("/?{text}").parse().ok()?;
    Query::try_from_uri(&uri).ok().map(|Query(form)| form)
}
