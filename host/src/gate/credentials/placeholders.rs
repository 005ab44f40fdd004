//! Texts that stand for secrets: how they are created and found.
//!
//! A placeholder is `{{egression:NAME:TAG}}`. TAG identifies one generation of one owner's secret
//! and cannot be created without the master key. [`super::substitute`] replaces it by the secret.

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
/// The longest tag that is parsed; real ones are shorter.
const MAX_TAG_BYTES: usize = 64;

/// Why a secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The owner has no secret of that name.
    #[error("there is no secret `{0}`")]
    Missing(String),
    #[error("{0}")]
    Invalid(String),
}

impl From<VaultError> for CredentialError {
    fn from(error: VaultError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Allows the names that a connector may use: letters, digits, `_`, `-` and `.`. The names of the
/// host's own secrets contain a colon.
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

/// Refuses the names of credentials that the host attaches, unless the connector itself
/// authenticates.
pub fn check_owned(destination: &Destination, name: &str) -> Result<(), CredentialError> {
    check_name(name)?;
    let host_attaches = !matches!(destination.auth, Some(AuthDocument::Connector { .. }));
    if host_attaches && matches!(name, BEARER_TOKEN | CLIENT_SECRET) {
        return Err(CredentialError::Invalid(format!(
            "the secret `{name}` is reserved: the host attaches it"
        )));
    }
    Ok(())
}

/// The placeholder of a secret's current generation.
pub async fn text_for(
    vault: &Vault,
    clock: &Clock,
    destination: &Destination,
    name: &str,
) -> Result<String, CredentialError> {
    check_owned(destination, name)?;
    let owner = destination.owner;
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

/// Whether a text may contain placeholders.
pub fn occurs_in(text: &str) -> bool {
    text.contains(OPEN)
}

/// The same for bytes.
fn occurs_in_bytes(bytes: &[u8]) -> bool {
    bytes.windows(OPEN.len()).any(|w| w == OPEN.as_bytes())
}

/// Whether a text consists of placeholders and white space only.
pub fn is_bare(text: &str) -> bool {
    let mut rest = text;
    let mut found = false;
    while let Some((before, _, behind)) = next_placeholder(rest) {
        if !before.trim().is_empty() {
            return false;
        }
        found = true;
        rest = behind;
    }
    found && rest.trim().is_empty()
}

/// A text with `***` in place of its placeholders, for people.
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

/// The body of a request if it allows placeholders and contains some.
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

/// The next placeholder of a text, as (text before, placeholder, text behind). An unfinished one
/// does not count.
pub fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(OPEN)?;
    let end = start + text[start..].find(CLOSE)? + CLOSE.len();
    Some((&text[..start], &text[start..end], &text[end..]))
}

/// The distinct placeholders of one request, with the name and tag of each.
pub struct Placeholders {
    pub by_text: HashMap<String, (String, String)>,
    most: usize,
}

impl Placeholders {
    /// An empty set that takes at most `most` placeholders.
    pub fn new(most: usize) -> Self {
        Self {
            by_text: HashMap::new(),
            most,
        }
    }

    /// Adds the placeholders of a text. Refuses a malformed one, and one too many.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        let broken = || "malformed placeholder".to_owned();
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
                    "the request has more than {} different placeholders; raise \
                     `gate.max_placeholders`",
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
