//! Query parameters. A handler takes them by name; the rest is refused as unknown, like the unknown
//! fields of a body.

use axum::extract::FromRequestParts;
use http::request::Parts;
use url::form_urlencoded;

use super::cursor::List;
use super::problem::{ApiError, FieldError};
use crate::api::state::ApiState;
use crate::store::rows::Context;

/// The parameters of a request that no handler has taken yet.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    page_default: u32,
    page_limit: u32,
}

impl FromRequestParts<ApiState> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        Ok(Self::new(
            parts.uri.query().unwrap_or_default(),
            state.settings.page_default,
            state.settings.page_limit,
        ))
    }
}

impl Query {
    fn new(query: &str, page_default: u32, page_limit: u32) -> Self {
        Self {
            pairs: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            page_default,
            page_limit,
        }
    }

    /// Errors: 400 if the parameter is repeated.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values: Vec<String> = self
            .pairs
            .extract_if(.., |(n, _)| n == name)
            .map(|(_, v)| v)
            .collect();
        if values.len() > 1 {
            return Err(ApiError::parameter(
                name,
                "duplicate_field",
                "expected only once",
            ));
        }
        Ok(values.pop().filter(|v| !v.is_empty()))
    }

    /// Errors: 400 if the parameter is missing or repeated.
    pub fn need(&mut self, name: &str) -> Result<String, ApiError> {
        self.take(name)?
            .ok_or_else(|| ApiError::parameter(name, "required", "this parameter is required"))
    }

    /// A list: repeated, or with values separated by commas.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let values = self
            .pairs
            .extract_if(.., |(n, _)| n == name)
            .map(|(_, v)| v);
        values
            .flat_map(|v| {
                v.split(',')
                    .map(|w| w.trim().to_owned())
                    .collect::<Vec<_>>()
            })
            .filter(|w| !w.is_empty())
            .collect()
    }

    /// Errors: 400 unless it is absent (false), `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        self.flag_or(name, false)
    }

    /// Errors: 400 unless it is absent, `true` or `false`.
    pub fn flag_or(&mut self, name: &str, absent: bool) -> Result<bool, ApiError> {
        match self.take(name)?.as_deref() {
            None => Ok(absent),
            Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::parameter(
                name,
                "invalid_value",
                "expected `true` or `false`",
            )),
        }
    }

    /// A list of words, each read by `parse`. Errors: 400 for a word that is not one of `known`.
    pub fn words<T>(
        &mut self,
        name: &str,
        known: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ApiError> {
        let read = |word: String| {
            parse(&word).ok_or_else(|| {
                let known = known.join(", ");
                let detail = format!("unknown {name} `{word}`, expected one of {known}");
                ApiError::parameter(name, "invalid_value", detail)
            })
        };
        self.list(name).into_iter().map(read).collect()
    }

    /// `limit`: the length of a page. Errors: 400 unless it is a number from 1 to the bound.
    pub fn limit(&mut self) -> Result<u32, ApiError> {
        let bound = self.page_limit;
        let Some(text) = self.take("limit")? else {
            return Ok(self.page_default.min(bound));
        };
        let limit = text.parse().ok().filter(|n| (1..=bound).contains(n));
        limit.ok_or_else(|| {
            let detail = format!("expected a number from 1 to {bound} (bound `api.page_limit`)");
            ApiError::parameter("limit", "invalid_value", detail)
        })
    }

    /// `cursor`: the position where the last page ended. Errors: 400 if it is not a cursor of this
    /// list.
    pub fn cursor(&mut self, list: List) -> Result<Option<i64>, ApiError> {
        let cursor = self.take("cursor")?;
        cursor.map(|text| list.position(&text)).transpose()
    }

    /// `cursor` of a list in the order of names: the last name of the page before.
    pub fn named_cursor(&mut self, list: List) -> Result<Option<String>, ApiError> {
        let cursor = self.take("cursor")?;
        cursor.map(|text| list.name(&text)).transpose()
    }

    /// All `PREFIX.name=value` pairs. Errors: 400 for more than `most`.
    pub fn pairs(&mut self, prefix: &str, most: usize) -> Result<Context, ApiError> {
        let strip = |name: &str| {
            name.strip_prefix(prefix)
                .and_then(|n| n.strip_prefix('.'))
                .map(str::to_owned)
        };
        let found = self.pairs.extract_if(.., |(name, _)| strip(name).is_some());
        let found: Context = found
            .filter_map(|(name, value)| strip(&name).map(|n| (n, value)))
            .collect();
        if found.len() > most {
            let detail = format!("expected at most {most} pairs");
            return Err(ApiError::parameter(prefix, "invalid_value", detail));
        }
        Ok(found)
    }

    /// Refuses the parameters that were not taken. Errors: 400 that names each.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let unknown = |(name, _): (String, String)| {
            let detail = format!("unknown parameter `{name}`");
            FieldError::new(format!("?{name}"), "unknown_field", detail)
        };
        let unknown = self.pairs.into_iter().map(unknown).collect();
        Err(ApiError::invalid(unknown))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::new(text, 100, 1000)
    }

    #[test]
    fn query_refuses_parameters_that_no_handler_took() {
        let mut query = query(
            "state=failed,rejected&state=unknown&limit=7&\
             context.run=2026-11-21&context.a=b%20c&x=1",
        );
        assert_eq!(query.list("state"), ["failed", "rejected", "unknown"]);
        assert_eq!(query.limit().unwrap(), 7);
        assert_eq!(
            query.pairs("context", 2).unwrap(),
            Context::from([
                ("run".into(), "2026-11-21".into()),
                ("a".into(), "b c".into())
            ])
        );
        let document = query.finish().unwrap_err().document();
        assert_eq!(document.errors[0].pointer, "?x");
    }

    #[test]
    fn query_refuses_wrong_values() {
        for text in [
            "limit=0",
            "limit=1001",
            "limit=many",
            "limit=-1",
            "limit=1&limit=2",
        ] {
            assert_eq!(query(text).limit().unwrap_err().status(), 400, "{text}");
        }
        let many = query("context.a=1&context.b=2").pairs("context", 1);
        assert_eq!(many.unwrap_err().status(), 400);
        assert_eq!(query("").limit().unwrap(), 100);
        assert!(query("f=yes").flag("f").is_err());
        assert!(query("f=true").flag("f").unwrap());
        assert!(query("f=no").flag_or("f", true).is_err());
        assert!(
            query("").flag_or("f", true).unwrap() && !query("f=false").flag_or("f", true).unwrap()
        );
        assert!(query("").need("id").is_err());
    }
}
