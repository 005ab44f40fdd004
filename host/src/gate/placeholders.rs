//! Texts that stand for secrets, and their replacement as a request leaves.
//!
//! A placeholder is `{{egression:NAME:TAG}}`, where TAG names one generation of one owner's secret and needs the
//! master key to make. It is replaced in header values, query values, and on request in the string values of a JSON
//! body or the values of a form; nowhere else. What cannot be replaced is refused, never sent as it is.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::encoding;
use super::exchange::BodyPlaceholders;
use crate::clock::Clock;
use crate::vault::{Secret, Vault, VaultError};

const OPEN: &str = "{{egression:";
const CLOSE: &str = "}}";
/// The longest name of a secret.
const MAX_NAME_BYTES: usize = 64;

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

/// The names that a connector may use: letters, digits, `_`, `-` and `.`. The host's own secrets have a colon.
pub(super) fn check_name(name: &str) -> Result<(), CredentialError> {
    let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES;
    if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        return Ok(());
    }
    Err(CredentialError::Invalid(format!("a secret's name has 1 to {MAX_NAME_BYTES} letters, digits, `_`, `-` or `.`")))
}

/// The text that stands for the present generation of a secret.
pub(super) async fn text_for(vault: &Vault, clock: &Clock, owner: &str, name: &str) -> Result<String, CredentialError> {
    check_name(name)?;
    let secret = vault.get(owner, name).await?.filter(|s| !s.is_expired(clock.wall()));
    let secret = secret.ok_or_else(|| CredentialError::Missing(name.to_owned()))?;
    Ok(format!("{OPEN}{name}:{}{CLOSE}", vault.tag(owner, name, secret.generation)))
}

/// Whether a text may hold placeholders.
pub(super) fn occurs_in(text: &str) -> bool {
    text.contains(OPEN)
}

/// The same for bytes.
fn occurs_in_bytes(bytes: &[u8]) -> bool {
    bytes.windows(OPEN.len()).any(|w| w == OPEN.as_bytes())
}

/// A text without its placeholders, for people.
pub(super) fn hidden(text: &str) -> String {
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

/// How many generations back a placeholder is still known.
const MAX_GENERATIONS_BACK: i64 = 64;

/// The generations whose placeholders stand for a secret, its own first.
fn generations(secret: &Secret) -> impl Iterator<Item = i64> + use<> {
    let newest = secret.generation;
    (newest.saturating_sub(MAX_GENERATIONS_BACK).max(0)..=newest).rev()
}

/// The secrets behind the placeholders of one request.
#[derive(Default)]
pub(super) struct Resolved {
    by_text: HashMap<String, (String, Secret)>,
}

impl Resolved {
    /// Looks up every placeholder of these texts. Unknown ones are an error: a made-up tag, another owner's. One of an
    /// older generation stands for the newest secret: a call that began before a token was renewed goes on with the new
    /// one. Whether a secret has expired is the destination's to say: its 401 renews the session, a refusal here would not.
    pub(super) async fn look_up<'a>(vault: &Vault, owner: &str, texts: impl Iterator<Item = &'a str> + Send) -> Result<Self, String> {
        let mut wanted = Vec::new();
        for text in texts {
            wanted.extend(placeholders(text)?);
        }
        let mut resolved = Self::default();
        for (text, name, tag) in wanted {
            let secret = vault.get(owner, &name).await.map_err(|e| e.to_string())?;
            let secret = secret
                .filter(|s| generations(s).any(|generation| is_same(&vault.tag(owner, &name, generation), &tag)))
                .ok_or_else(|| format!("a placeholder of `{name}` stands for no secret of this owner"))?;
            resolved.by_text.insert(text, (name, secret));
        }
        Ok(resolved)
    }

    /// The secrets with their names.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &(String, Secret)> {
        self.by_text.values()
    }

    /// Puts the secrets into a text, each encoded for its place.
    pub(super) fn fill(&self, text: &str, encode: impl Fn(&str) -> String) -> String {
        let mut filled = text.to_owned();
        for (placeholder, (_, secret)) in &self.by_text {
            if filled.contains(placeholder.as_str()) {
                filled = filled.replace(placeholder.as_str(), &encode(secret.value.expose_secret()));
            }
        }
        filled
    }

    /// Puts the secrets into a text as they are.
    pub(super) fn fill_plain(&self, text: &str) -> SecretString {
        SecretString::from(self.fill(text, str::to_owned))
    }

    /// Puts the secrets into the query values of a URL.
    pub(super) fn fill_url(&self, url: &mut Url) -> Result<(), String> {
        if occurs_in(&encoding::decode_form(url.path())) {
            return Err("a placeholder cannot stand in a path".to_owned());
        }
        let Some(query) = url.query() else { return Ok(()) };
        if !occurs_in(&encoding::decode_form(query)) {
            return Ok(());
        }
        let filled = self.fill_pairs(query)?;
        url.set_query(Some(&filled));
        Ok(())
    }

    /// Puts the secrets into a body.
    pub(super) fn fill_body(&self, body: &str, place: BodyPlaceholders) -> Result<String, String> {
        match place {
            BodyPlaceholders::None => Ok(body.to_owned()),
            BodyPlaceholders::Form => self.fill_pairs(body),
            BodyPlaceholders::Json => self.fill_json(body),
        }
    }

    /// Pairs as in a query. What holds no placeholder stays as it was written.
    fn fill_pairs(&self, text: &str) -> Result<String, String> {
        let mut pairs = Vec::new();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if occurs_in(&encoding::decode_form(name)) {
                return Err("a placeholder cannot stand in a parameter's name".to_owned());
            }
            let decoded = encoding::decode_form(value);
            if occurs_in(&decoded) {
                pairs.push(format!("{name}={}", encoding::percent(&self.fill(&decoded, str::to_owned))));
            } else {
                pairs.push(pair.to_owned());
            }
        }
        Ok(pairs.join("&"))
    }

    /// String values of a JSON text. All other bytes stay as they are: numbers and the order of members matter.
    fn fill_json(&self, text: &str) -> Result<String, String> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| format!("the body is no JSON: {e}"))?;
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('"') {
            let inside = &rest[start + 1..];
            let end = string_end(inside).ok_or_else(|| "the body is no JSON".to_owned())?;
            let (string, behind) = (&inside[..end], &inside[end + 1..]);
            let is_name = behind.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(':');
            if is_name && occurs_in(string) {
                return Err("a placeholder cannot stand in a member's name".to_owned());
            }
            filled.push_str(&rest[..=start]);
            filled.push_str(&self.fill(string, encoding::json_content));
            filled.push('"');
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// The texts of a request in which placeholders are looked for.
pub(super) fn searched_body(body: Option<&[u8]>, place: BodyPlaceholders) -> Result<Option<&str>, String> {
    match body {
        Some(bytes) if place != BodyPlaceholders::None && occurs_in_bytes(bytes) => {
            std::str::from_utf8(bytes).map(Some).map_err(|_| "a body with placeholders must be UTF-8".to_owned())
        }
        // The braces and colons of a form may be percent-encoded.
        Some(bytes) if place == BodyPlaceholders::Form => {
            let text = std::str::from_utf8(bytes).map_err(|_| "a form must be UTF-8".to_owned())?;
            Ok(occurs_in(&encoding::decode_form(text)).then_some(text))
        }
        _ => Ok(None),
    }
}

/// Where a JSON string ends.
fn string_end(inside: &str) -> Option<usize> {
    let mut escaped = false;
    inside.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// The placeholders of a text: the whole of each, its name, its tag.
fn placeholders(text: &str) -> Result<Vec<(String, String, String)>, String> {
    let broken = || "a placeholder is broken".to_owned();
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(OPEN) {
        let (inside, behind) = after.split_once(CLOSE).ok_or_else(broken)?;
        let (name, tag) = inside.split_once(':').ok_or_else(broken)?;
        check_name(name).map_err(|_| broken())?;
        found.push((format!("{OPEN}{inside}{CLOSE}"), name.to_owned(), tag.to_owned()));
        rest = behind;
    }
    Ok(found)
}

/// In a time that does not tell how much of a guess was right.
fn is_same(tag: &str, given: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(tag.as_bytes(), given.as_bytes()).is_ok()
}
