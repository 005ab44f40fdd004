//! Custom verbs (AIP-136): `/v1/executions/exe_…:cancel`. The router matches whole segments; this
//! splits the last one.

use axum::extract::{FromRequestParts, RawPathParams};
use http::Method;
use http::request::Parts;

use super::problem::ApiError;

/// The decoded parameters of the path, in their order.
#[derive(Clone, Debug)]
pub struct Segments(pub Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let raw = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::NotFound("no route for this path".to_owned()))?;
        Ok(Self(
            raw.iter().map(|(_, value)| value.to_owned()).collect(),
        ))
    }
}

impl Segments {
    pub fn one(mut self) -> String {
        self.0.pop().unwrap_or_default()
    }

    pub fn two(mut self) -> (String, String) {
        let last = self.0.pop().unwrap_or_default();
        (self.0.pop().unwrap_or_default(), last)
    }
}

/// Splits a segment into the name and the verb after its last colon. Errors: 405 if there is no
/// verb, because only verbs take POST; 404 if there is no name.
pub fn split(segment: &str) -> Result<(&str, &str), ApiError> {
    let (name, verb) = segment
        .rsplit_once(':')
        .ok_or(ApiError::MethodNotAllowed(Method::POST))?;
    if name.is_empty() {
        return Err(ApiError::NotFound(format!(
            "`:{verb}` needs a name before it"
        )));
    }
    Ok((name, verb))
}

pub fn unknown(verb: &str, known: &str) -> ApiError {
    ApiError::NotFound(format!("unknown verb `:{verb}`, expected {known}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn verb_is_after_the_last_colon() {
        assert_eq!(split("exe_1:cancel").unwrap(), ("exe_1", "cancel"));
        assert_eq!(split("a:b:pause").unwrap(), ("a:b", "pause"));
        assert_eq!(split("exe_1").unwrap_err().status(), 405);
        assert_eq!(split(":cancel").unwrap_err().status(), 404);
    }
}
