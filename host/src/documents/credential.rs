//! The secrets inside an auth document, by name, and the hosts that they are entered for.
//!
//! A credential belongs to the hosts that the document named when the credential was entered. The
//! vault keeps these hosts with the secret; this module finds them in the documents.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::model::{AuthDocument, ConnectionDocument, SourceDocument};
use super::secret::SecretRef;
use super::validate::HostPattern;

/// One secret of an auth document.
#[derive(Debug)]
pub struct NamedSecret<'a> {
    /// The name under which the vault keeps it: `token`, `client_secret`, or the connector's own.
    pub name: &'a str,
    /// The place in the document, as a JSON pointer (RFC 6901).
    pub pointer: String,
    pub reference: &'a SecretRef,
}

impl AuthDocument {
    /// All secrets of the document, in a fixed order.
    pub fn secrets(&self) -> Vec<NamedSecret<'_>> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer { token } => vec![NamedSecret {
                name: "token",
                pointer: "/auth/token".to_owned(),
                reference: token,
            }],
            Self::OAuth2ClientCredentials { client_secret, .. } => {
                vec![NamedSecret {
                    name: "client_secret",
                    pointer: "/auth/client_secret".to_owned(),
                    reference: client_secret,
                }]
            }
            Self::Connector { secrets } => secrets
                .iter()
                .map(|(name, reference)| NamedSecret {
                    name,
                    pointer: format!("/auth/secrets/{}", pointer_segment(name)),
                    reference,
                })
                .collect(),
        }
    }

    /// The document as it is stored: markers replace the values.
    pub fn without_values(&self) -> Self {
        let mut kept = self.clone();
        match &mut kept {
            Self::None => {}
            Self::Bearer { token } => *token = token.without_value(),
            Self::OAuth2ClientCredentials { client_secret, .. } => {
                *client_secret = client_secret.without_value()
            }
            Self::Connector { secrets } => secrets
                .values_mut()
                .for_each(|reference| *reference = reference.without_value()),
        }
        kept
    }

    fn token_url(&self) -> Option<&str> {
        match self {
            Self::OAuth2ClientCredentials { token_url, .. } => Some(token_url),
            _ => None,
        }
    }
}

/// The hosts that a connection's credential is entered for: the origins
/// (`https://shop.example:8443`, RFC 6454) of the token endpoint and of every setting that is an
/// HTTP URL, because the connector may use any of them, and the patterns of `allow_hosts`
/// (`https://*.shop.example`).
pub fn hosts_of_connection(document: &ConnectionDocument) -> Vec<String> {
    let settings = document
        .settings
        .as_object()
        .into_iter()
        .flat_map(|settings| settings.values())
        .filter_map(Value::as_str);
    let mut hosts =
        origins(settings.chain(document.auth.as_ref().and_then(AuthDocument::token_url)));
    hosts.extend(
        document
            .allow_hosts
            .iter()
            .filter_map(|text| text.parse::<HostPattern>().ok())
            .map(|pattern| pattern.to_string()),
    );
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The origin of the token endpoint and of each setting that is an HTTP URL, by its JSON pointer in
/// the document (RFC 6901).
pub fn places_of_hosts(document: &ConnectionDocument) -> BTreeMap<String, String> {
    let settings = document.settings.as_object().into_iter().flatten();
    let mut texts: Vec<(String, &str)> = settings
        .filter_map(|(name, value)| {
            Some((
                format!("/settings/{}", pointer_segment(name)),
                value.as_str()?,
            ))
        })
        .collect();
    texts.extend(
        document
            .auth
            .as_ref()
            .and_then(AuthDocument::token_url)
            .map(|url| ("/auth/token_url".to_owned(), url)),
    );
    texts
        .into_iter()
        .filter_map(|(place, text)| Some((place, origin(text)?)))
        .collect()
}

/// The origins that a source's credential is entered for: those of its URLs and of the token
/// endpoint.
pub fn hosts_of_source(document: &SourceDocument) -> Vec<String> {
    let urls = document
        .object_url
        .as_deref()
        .into_iter()
        .chain(document.batch_url.as_deref());
    origins(urls.chain(document.auth.as_ref().and_then(AuthDocument::token_url)))
}

/// Escapes a segment of a JSON pointer.
pub(super) fn pointer_segment(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn origins<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut origins: Vec<String> = urls.filter_map(origin).collect();
    origins.sort();
    origins.dedup();
    origins
}

/// The origin of an HTTP URL.
fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hosts_come_from_url_settings_token_endpoint_and_allow_hosts() {
        let document: ConnectionDocument = serde_json::from_str(
            r#"{"subscription":"acme","channel":"shop",
                "allow_hosts":["https://*.CDN.example:443","https://shop.example:443"],
                "settings":{"base_url":"https://Shop.example:443/api","locale":"de",
                "copy":"https://shop.example/b"},
                "auth":{"scheme":"oauth2_client_credentials",
                "token_url":"https://id.example:8443/t","client_id":"c",
                  "client_secret":{"env":"S"}}}"#,
        )
        .unwrap();
        assert_eq!(
            hosts_of_connection(&document),
            [
                "https://*.cdn.example",
                "https://id.example:8443",
                "https://shop.example"
            ]
        );
    }

    #[test]
    fn secrets_have_their_pointer() {
        let auth: AuthDocument = serde_json::from_str(
            r#"{"scheme":"connector","secrets":{"a/b":{"value":"v"},"c":{"env":"C"}}}"#,
        )
        .unwrap();
        let places: Vec<_> = auth
            .secrets()
            .into_iter()
            .map(|s| (s.name.to_owned(), s.pointer))
            .collect();
        assert_eq!(
            places,
            [
                ("a/b".to_owned(), "/auth/secrets/a~1b".to_owned()),
                ("c".to_owned(), "/auth/secrets/c".to_owned())
            ]
        );
        assert_eq!(
            serde_json::to_string(&auth.without_values()).unwrap(),
            r#"{"scheme":"connector","secrets":{"a/b":{"stored":true},"c":{"env":"C"}}}"#
        );
    }
}
