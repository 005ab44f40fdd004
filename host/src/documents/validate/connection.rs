//! Connections and credentials.

use super::Issue;
use super::addresses::allow_addresses;
use super::hosts::allow_hosts;
use super::limits::limits;
use super::name::name;
use super::urls::url;
use crate::documents::model::{AuthDocument, ConnectionDocument};
use crate::documents::secret::SecretRef;

/// The problems of a connection. [`super::super::configuration`] checks the settings against the
/// connector's schema.
pub fn connection(document: &ConnectionDocument) -> Vec<Issue> {
    let mut issues: Vec<Issue> = [
        name("/subscription", &document.subscription),
        name("/channel", &document.channel),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !document.settings.is_object() && !document.settings.is_null() {
        issues.push(Issue::new(
            "/settings",
            "settings.invalid",
            "settings must be a table",
        ));
    }
    if let Some(document) = &document.auth {
        issues.extend(auth(document, true));
    }
    issues.extend(limits(&document.limits, false));
    issues.extend(allow_hosts(&document.allow_hosts));
    issues.extend(allow_addresses(&document.allow_addresses));
    issues
}

/// The problems of a credential. `has_connector`: a connector can create sessions.
pub(super) fn auth(document: &AuthDocument, has_connector: bool) -> Vec<Issue> {
    let mut issues = Vec::new();
    match document {
        AuthDocument::None | AuthDocument::Bearer { .. } => {}
        AuthDocument::OAuth2ClientCredentials {
            token_url,
            client_id,
            ..
        } => {
            issues.extend(url("/auth/token_url", token_url));
            if client_id.is_empty() {
                issues.push(Issue::new(
                    "/auth/client_id",
                    "field.missing",
                    "the client id is empty",
                ));
            }
        }
        AuthDocument::Connector { secrets } => {
            if !has_connector {
                issues.push(Issue::new(
                    "/auth/scheme",
                    "auth.scheme",
                    "a source has no connector to create a session",
                ));
            }
            for name in secrets.keys().filter(|name| !is_secret_name(name)) {
                issues.push(Issue::new(
                    "/auth/secrets",
                    "name.invalid",
                    format!(
                        "`{name}` is not a valid name of a secret: use 1 to 63 of a-z, A-Z, 0-9, \
                         `-`, `_` and `.`"
                    ),
                ));
            }
        }
    }
    issues.extend(
        document
            .secrets()
            .into_iter()
            .filter_map(|secret| reference(secret.pointer, secret.reference)),
    );
    issues
}

fn reference(pointer: String, reference: &SecretRef) -> Option<Issue> {
    match reference {
        SecretRef::Env(name) if name.is_empty() || name.contains(['=', '\0']) => Some(Issue::new(
            pointer,
            "secret.invalid",
            format!("`{name}` is not a valid name of an environment variable"),
        )),
        SecretRef::File(path) if path.as_os_str().is_empty() => {
            Some(Issue::new(pointer, "secret.invalid", "the path is empty"))
        }
        _ => None,
    }
}

fn is_secret_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}
