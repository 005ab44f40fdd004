//! Pages of a list: `{"items":[…],"next":"<url>"}`, with the next page also in `Link` (RFC 8288).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items in the order of the list.
    pub items: Vec<T>,
    /// The URL of the next page; null on the last page.
    pub next: Option<String>,
}

/// A page as a response. `next`: the cursor of the next page.
pub fn answer<T: Serialize>(uri: &Uri, items: Vec<T>, next: Option<String>) -> Response {
    let next = next.map(|cursor| url_with(uri, &cursor));
    let mut headers = HeaderMap::new();
    if let Some(link) = next
        .as_ref()
        .and_then(|url| HeaderValue::from_str(&format!("<{url}>; rel=\"next\"")).ok())
    {
        headers.insert(header::LINK, link);
    }
    (headers, axum::Json(Page { items, next })).into_response()
}

/// The same request with another cursor.
fn url_with(uri: &Uri, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name != "cursor"),
    );
    query.append_pair("cursor", cursor);
    format!("{}?{}", uri.path(), query.finish())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn next_page_keeps_the_filters() {
        let uri: Uri = "/v1/executions?status=failed%2Cqueued&cursor=old&limit=2"
            .parse()
            .unwrap();
        assert_eq!(
            url_with(&uri, "bmV3"),
            "/v1/executions?status=failed%2Cqueued&limit=2&cursor=bmV3"
        );
        let response = answer(&uri, vec![1], Some("bmV3".into()));
        assert_eq!(
            response.headers()[header::LINK],
            "</v1/executions?status=failed%2Cqueued&limit=2&cursor=bmV3>; rel=\"next\""
        );
        assert!(
            !answer(&uri, vec![1], None)
                .headers()
                .contains_key(header::LINK)
        );
    }
}
