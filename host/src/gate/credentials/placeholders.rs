//! Texts that stand for secrets: how they are made, and how they are found.
//!
//! A placeholder is `{{egression:NAME:TAG}}`, where TAG names one generation of one owner's secret
//! and needs the master key to make. Where it is replaced, and by what, is the duty of `filling`.

use std::collections::HashMap;

use super::encoding;
use crate::clock::Clock;
use crate::documents::model::AuthDocument;
use crate::gate::exchange::BodyPlaceholders;
use crate::gate::policy::destination::Destination;
use crate::vault::{Vault, VaultError};

/// The vault's name of a fixed bearer token.
pub const BEARER_TOKEN: &str = "token";
/// The vault's name of an OAuth2 client's secret.
pub const CLIENT_SECRET: &str = "client_secret";
/// The vault's name of a token that the host fetched.
pub const ACCESS_TOKEN: &str = "oauth2:access_token";

const OPEN: &str = "{{egression:";
const CLOSE: &str = "}}";
/// The longest name of a secret.
const MAX_NAME_BYTES: usize = 64;
/// The longest tag that is looked at; ours are shorter.
const MAX_TAG_BYTES: usize = 64;

/// Why a secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The owner has no secret of that name.
    #[error("there is no secret `{0}`")]
    Missing(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl From<VaultError> for CredentialError {
    fn from(error: VaultError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The names that a connector may use: letters, digits, `_`, `-` and `.`. The host's own secrets
/// have a colon.
pub fn check_name(name: &str) -> Result<(), CredentialError> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES;
    if fits
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    {
        return Ok(());
    }
    Err(CredentialError::Invalid(format!(
        "a secret's name has 1 to {MAX_NAME_BYTES} letters, digits, `_`, `-` or `.`"
    )))
}

/// Refuses the names under which the host keeps what it attaches itself: where the connector does
/// not authenticate on its own, they are not the connector's to use.
pub fn check_owned(destination: &Destination, name: &str) -> Result<(), CredentialError> {
    check_name(name)?;
    let host_attaches = !matches!(destination.auth, Some(AuthDocument::Connector { .. }));
    if host_attaches && matches!(name, BEARER_TOKEN | CLIENT_SECRET) {
        return Err(CredentialError::Invalid(format!(
            "the secret `{name}` belongs to the host, which attaches it by itself"
        )));
    }
    Ok(())
}

/// The text that stands for the present generation of a secret.
pub async fn text_for(
    vault: &Vault,
    clock: &Clock,
    destination: &Destination,
    name: &str,
) -> Result<String, CredentialError> {
    check_owned(destination, name)?;
    let owner = &destination.owner;
    let secret = vault
        .get(owner, name)
        .await?
        .filter(|s| !s.is_expired(clock.wall()));
    let secret = secret.ok_or_else(|| CredentialError::Missing(name.to_owned()))?;
    Ok(format!(
        "{OPEN}{name}:{}{CLOSE}",
        vault.tag(owner, name, secret.generation)
    ))
}

/// Whether a text may hold placeholders.
pub fn occurs_in(text: &str) -> bool {
    text.contains(OPEN)
}

/// The same for bytes.
fn occurs_in_bytes(bytes: &[u8]) -> bool {
    bytes.windows(OPEN.len()).any(|w| w == OPEN.as_bytes())
}

/// A text without its placeholders, for people.
pub fn hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        shown.push_str(before);
        shown.push_str("***");
        rest = after.split_once(CLOSE).map_or("", |(_, behind)| behind);
    }
    shown.push_str(rest);
    shown
}

/// The body of a request if placeholders are to be looked for in it and there are some.
pub fn searched_body(body: Option<&[u8]>, place: BodyPlaceholders) -> Result<Option<&str>, String> {
    match body {
        Some(bytes) if place != BodyPlaceholders::None && occurs_in_bytes(bytes) => {
            std::str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| "a body with placeholders must be UTF-8".to_owned())
        }
        // The braces and colons of a form may be percent-encoded.
        Some(bytes) if place == BodyPlaceholders::Form => {
            let text = std::str::from_utf8(bytes).map_err(|_| "a form must be UTF-8".to_owned())?;
            Ok(pairs(text).any(|pair| occurs_in(&pair)).then_some(text))
        }
        _ => Ok(None),
    }
}

/// The pairs of a query or form, decoded one at a time.
pub fn pairs(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('&').map(encoding::decode_form)
}

/// The next placeholder of a text: what stands before it, the whole of it, and what is behind. One
/// that does not end is none.
pub fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(OPEN)?;
    let end = start + text[start..].find(CLOSE)? + CLOSE.len();
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// The different placeholders of one request: the whole of each, with its name and its tag.
pub struct Placeholders {
    pub by_text: HashMap<String, (String, String)>,
    most: usize,
}

impl Placeholders {
    /// None yet, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self {
            by_text: HashMap::new(),
            most,
        }
    }

    /// Adds those of a text. Refuses a broken one, and one too many.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        let broken = || "a placeholder is broken".to_owned();
        let mut rest = text;
        while let Some((_, whole, behind)) = next_placeholder(rest) {
            rest = behind;
            if self.by_text.contains_key(whole) {
                continue;
            }
            let inside = &whole[OPEN.len()..whole.len() - CLOSE.len()];
            let (name, tag) = inside.split_once(':').ok_or_else(broken)?;
            check_name(name).map_err(|_| broken())?;
            if tag.len() > MAX_TAG_BYTES {
                return Err(broken());
            }
            if self.by_text.len() >= self.most {
                return Err(format!(
                    "there are more than {} different placeholders; raise `gate.max_placeholders`",
                    self.most
                ));
            }
            self.by_text
                .insert(whole.to_owned(), (name.to_owned(), tag.to_owned()));
        }
        if occurs_in(rest) {
            Err(broken())
        } else {
            Ok(())
        }
    }
}
