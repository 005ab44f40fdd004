//! Where a secret is put into a request: into header values, query values and, if the request asks
//! for it, the string values of a JSON body or the values of a form. A request with a placeholder
//! in any other place is refused, never sent with the placeholder.
//!
//! A placeholder may occur often and a secret may be long, so the result is bounded while it grows.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::encoding;
use super::placeholders::{Placeholders, check_owned, next_placeholder, occurs_in};
use crate::gate::exchange::BodyPlaceholders;
use crate::gate::policy::destination::Destination;
use crate::vault::{Secret, Vault};

/// How many generations back a placeholder stays valid.
const MAX_GENERATIONS_BACK: i64 = 64;
/// Bytes encoded at once.
const CHUNK_BYTES: usize = 4096;

/// A text that grows up to a bound.
pub struct BoundedText {
    text: String,
    most: usize,
    setting: &'static str,
}

impl BoundedText {
    /// An empty text of at most `most` bytes. The error names `setting`, which raises the bound.
    pub fn new(most: u64, setting: &'static str) -> Self {
        Self {
            text: String::new(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            setting,
        }
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn push(&mut self, piece: &str) -> Result<(), String> {
        if piece.len() > self.most - self.text.len() {
            return Err(format!(
                "the request is too long with its secrets; raise `{}`",
                self.setting
            ));
        }
        self.text.push_str(piece);
        Ok(())
    }

    fn push_percent(&mut self, piece: &str) -> Result<(), String> {
        piece
            .as_bytes()
            .chunks(CHUNK_BYTES)
            .try_for_each(|chunk| self.push(&encoding::percent(chunk)))
    }
}

/// The secrets behind the placeholders of one request.
#[derive(Default)]
pub struct ResolvedSecrets {
    by_text: HashMap<String, (String, Secret)>,
}

impl ResolvedSecrets {
    /// Looks up the secrets of placeholders. A placeholder with an invented tag or of another owner
    /// is an error. One of an older generation stands for the newest secret, so that a call that
    /// began before a token was renewed continues with the new one. Expired secrets are used, too:
    /// the destination's 401 renews the session, a refusal here would not.
    pub async fn look_up(
        vault: &Vault,
        destination: &Destination,
        placeholders: Placeholders,
    ) -> Result<Self, String> {
        let owner = destination.owner;
        let mut resolved = Self::default();
        for (text, (name, tag)) in placeholders.by_text {
            check_owned(destination, &name).map_err(|error| error.to_string())?;
            let secret = vault.get(owner, &name).await.map_err(|e| e.to_string())?;
            let secret = secret
                .filter(|s| {
                    generations(s)
                        .any(|generation| is_same(&vault.tag(owner, &name, generation), &tag))
                })
                .ok_or_else(|| {
                    format!("a placeholder of `{name}` matches no secret of this owner")
                })?;
            resolved.by_text.insert(text, (name, secret));
        }
        Ok(resolved)
    }

    pub fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }

    /// The secrets with their names.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Secret)> {
        self.by_text.values()
    }

    /// A text of at most `most` bytes with its secrets, not encoded.
    pub fn substitute(
        &self,
        text: &str,
        most: u64,
        setting: &'static str,
    ) -> Result<SecretString, String> {
        let mut filled = BoundedText::new(most, setting);
        self.replace(text, &mut filled, BoundedText::push, BoundedText::push)?;
        Ok(SecretString::from(filled.into_text()))
    }

    /// Puts the secrets into the query values of a URL, whose query has at most `most` bytes.
    pub fn substitute_url(
        &self,
        url: &mut Url,
        most: u64,
        setting: &'static str,
    ) -> Result<(), String> {
        if occurs_in(&encoding::decode_form(url.path())) {
            return Err("a path cannot contain a placeholder".to_owned());
        }
        let Some(query) = url.query() else {
            return Ok(());
        };
        if !occurs_in(&encoding::decode_form(query)) {
            return Ok(());
        }
        let mut filled = BoundedText::new(most, setting);
        self.substitute_pairs(query, &mut filled)?;
        url.set_query(Some(&filled.into_text()));
        Ok(())
    }

    /// Puts the secrets into a body.
    pub fn substitute_body(
        &self,
        body: &str,
        place: BodyPlaceholders,
        mut filled: BoundedText,
    ) -> Result<String, String> {
        match place {
            BodyPlaceholders::None => filled.push(body)?,
            BodyPlaceholders::Form => self.substitute_pairs(body, &mut filled)?,
            BodyPlaceholders::Json => self.substitute_json(body, &mut filled)?,
        }
        Ok(filled.into_text())
    }

    /// Appends a text: each secret with `secret`, everything else with `plain`.
    fn replace(
        &self,
        text: &str,
        filled: &mut BoundedText,
        plain: impl Fn(&mut BoundedText, &str) -> Result<(), String>,
        secret: impl Fn(&mut BoundedText, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut rest = text;
        while let Some((before, placeholder, behind)) = next_placeholder(rest) {
            plain(filled, before)?;
            match self.by_text.get(placeholder) {
                Some((_, known)) => secret(filled, known.value.expose_secret())?,
                None => plain(filled, placeholder)?,
            }
            rest = behind;
        }
        plain(filled, rest)
    }

    /// Pairs of a query or form. A pair without placeholders stays unchanged.
    fn substitute_pairs(&self, text: &str, filled: &mut BoundedText) -> Result<(), String> {
        for (index, pair) in text.split('&').enumerate() {
            if index > 0 {
                filled.push("&")?;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if occurs_in(&encoding::decode_form(name)) {
                return Err("a parameter's name cannot contain a placeholder".to_owned());
            }
            let decoded = encoding::decode_form(value);
            if occurs_in(&decoded) {
                filled.push(name)?;
                filled.push("=")?;
                self.replace(
                    &decoded,
                    filled,
                    BoundedText::push_percent,
                    BoundedText::push_percent,
                )?;
            } else {
                filled.push(pair)?;
            }
        }
        Ok(())
    }

    /// String values of a JSON text. All other bytes stay unchanged, because numbers and the order
    /// of members matter.
    fn substitute_json(&self, text: &str, filled: &mut BoundedText) -> Result<(), String> {
        serde_json::from_str::<serde::de::IgnoredAny>(text)
            .map_err(|e| format!("the body is not JSON: {e}"))?;
        let mut rest = text;
        while let Some(start) = rest.find('"') {
            let inside = &rest[start + 1..];
            let end = string_end(inside).ok_or_else(|| "the body is not JSON".to_owned())?;
            let (string, behind) = (&inside[..end], &inside[end + 1..]);
            let is_name = behind
                .trim_start_matches([' ', '\t', '\n', '\r'])
                .starts_with(':');
            if is_name && occurs_in(string) {
                return Err("a member's name cannot contain a placeholder".to_owned());
            }
            filled.push(&rest[..=start])?;
            self.replace(string, filled, BoundedText::push, |filled, secret| {
                filled.push(&encoding::json_content(secret))
            })?;
            filled.push("\"")?;
            rest = behind;
        }
        filled.push(rest)
    }
}

/// The generations whose placeholders stand for a secret, the newest first.
fn generations(secret: &Secret) -> impl Iterator<Item = i64> + use<> {
    let newest = secret.generation;
    (newest.saturating_sub(MAX_GENERATIONS_BACK).max(0)..=newest).rev()
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

/// Compares in constant time, so that the duration reveals nothing about the tag.
fn is_same(tag: &str, given: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(tag.as_bytes(), given.as_bytes()).is_ok()
}
