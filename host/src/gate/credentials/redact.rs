//! Removes a call's secrets from what guests, the history and the log see.
//!
//! The redactor looks for each secret in these forms: plain, base64 (at each of the three possible
//! offsets, so that it also finds `user:password` encoded as one text), percent-encoded, escaped
//! for JSON, and hexadecimal. It replaces each match by `***`.

use std::cmp::Reverse;
use std::collections::HashMap;

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::encoding;

/// Shorter secrets would match everywhere, so the redactor ignores them.
const SHORTEST_BYTES: usize = 4;
/// The same for secrets that the call has not sent.
const SHORTEST_UNUSED_BYTES: usize = 12;
const MASK: &[u8] = b"***";

/// The secrets of a call in all their forms. Wiped when dropped, except for the prefixes.
#[derive(Default)]
pub struct Redactor {
    /// The forms by their first bytes; the longest first, so that a secret that contains another
    /// one is replaced as a whole.
    by_prefix: HashMap<[u8; SHORTEST_BYTES], Vec<SecretSlice<u8>>>,
    longest_bytes: usize,
}

impl Redactor {
    /// Adds a secret that the call itself sends.
    pub fn add(&mut self, secret: &SecretString) {
        self.add_from(secret, SHORTEST_BYTES);
    }

    /// Adds a secret of the owner that the call may never send. A short one, such as a user name or
    /// an account number, would match in unrelated responses and break their numbers and ids.
    pub fn add_unused(&mut self, secret: &SecretString) {
        self.add_from(secret, SHORTEST_UNUSED_BYTES);
    }

    fn add_from(&mut self, secret: &SecretString, shortest: usize) {
        if secret.expose_secret().len() < shortest {
            return;
        }
        for form in forms(secret.expose_secret()) {
            let Some(&prefix) = form.first_chunk() else {
                continue;
            };
            let known = self.by_prefix.entry(prefix).or_default();
            if !known.iter().any(|other| other.expose_secret() == form) {
                self.longest_bytes = self.longest_bytes.max(form.len());
                known.push(form.into());
                known.sort_by_key(|form| Reverse(form.expose_secret().len()));
            }
        }
    }

    /// The call has no secrets.
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// How many bytes past a cut the redactor needs to find a secret that the cut would split.
    pub const fn overlap_bytes(&self) -> usize {
        self.longest_bytes
    }

    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes(), text.len())).into_owned()
    }

    /// Redacts the first `keep` bytes of a text and reads only as much of it as that needs.
    pub fn start(&self, text: &str, keep: usize) -> String {
        let keep = text.floor_char_boundary(keep);
        let known = &text.as_bytes()[..text.len().min(keep.saturating_add(self.overlap_bytes()))];
        String::from_utf8_lossy(&self.bytes(known, keep)).into_owned()
    }

    /// Redacts the first `keep` of these bytes. A secret that starts before the cut is replaced as
    /// a whole.
    pub fn bytes(&self, bytes: &[u8], keep: usize) -> Vec<u8> {
        let keep = keep.min(bytes.len());
        // Most bytes start no secret; this keeps them from the lookup.
        let mut starts = [false; 256];
        for prefix in self.by_prefix.keys() {
            starts[usize::from(prefix[0])] = true;
        }
        let mut redacted = Vec::with_capacity(keep);
        let mut at = 0;
        while at < keep {
            let starts_here = starts[usize::from(bytes[at])];
            match starts_here.then(|| self.form_at(&bytes[at..])).flatten() {
                Some(form) => {
                    redacted.extend_from_slice(MASK);
                    at += form.len();
                }
                None => {
                    redacted.push(bytes[at]);
                    at += 1;
                }
            }
        }
        redacted
    }

    /// The longest form that these bytes start with.
    fn form_at(&self, bytes: &[u8]) -> Option<&[u8]> {
        let known = self.by_prefix.get(bytes.first_chunk()?)?;
        known
            .iter()
            .map(|form| form.expose_secret())
            .find(|form| bytes.starts_with(form))
    }
}

fn forms(secret: &str) -> Vec<Vec<u8>> {
    let plain = secret.as_bytes();
    let mut forms = vec![
        plain.to_vec(),
        encoding::percent(secret).into_bytes(),
        encoding::percent(secret).replace("%20", "+").into_bytes(),
        lower_case_escapes(&encoding::percent(secret)).into_bytes(),
        encoding::json_content(secret).into_bytes(),
        encoding::json_content(secret)
            .replace('/', "\\/")
            .into_bytes(),
        hex::encode(plain).into_bytes(),
        hex::encode_upper(plain).into_bytes(),
    ];
    for shift in 0..3 {
        forms.push(inner_base64(&STANDARD_NO_PAD, plain, shift));
        forms.push(inner_base64(&URL_SAFE_NO_PAD, plain, shift));
    }
    forms
}

/// The characters of a base64 text that depend only on `plain`, which starts `shift` bytes after a
/// group's start.
fn inner_base64(engine: &impl base64::Engine, plain: &[u8], shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(plain);
    // The first characters also depend on bits before the secret, the last one on bits after it.
    let from = (shift * 8).div_ceil(6);
    let to = shifted.len() * 8 / 6;
    let text = engine.encode(&shifted).into_bytes();
    text.get(from..to).unwrap_or_default().to_vec()
}

/// `%2F` becomes `%2f`.
fn lower_case_escapes(text: &str) -> String {
    let mut lower = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let (digits, behind) = after.split_at_checked(2).unwrap_or((after, ""));
        lower.push_str(before);
        lower.push('%');
        lower.push_str(&digits.to_ascii_lowercase());
        rest = behind;
    }
    lower.push_str(rest);
    lower
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn redactor(secret: &str) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(&SecretString::from(secret));
        redactor
    }

    #[test]
    fn text_redacts_every_form_of_a_secret() {
        let secret = "p/ss w\"rd+42%\u{e9}";
        let redactor = redactor(secret);
        let percent = encoding::percent(secret);
        for form in [
            secret.to_owned(),
            percent.clone(),
            lower_case_escapes(&percent),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            serde_json::to_string(secret).unwrap(),
            hex::encode(secret),
            STANDARD.encode(secret),
            STANDARD.encode(format!("a:{secret}:b")),
            STANDARD.encode(format!("ab:{secret}")),
            STANDARD.encode(format!("abc:{secret}x")),
        ] {
            let redacted = redactor.text(&format!("<<{form}>>"));
            assert!(redacted.contains("***"), "{form} -> {redacted}");
            assert!(
                !redacted.contains("ss w") && !redacted.contains("rd+42"),
                "{form} -> {redacted}"
            );
        }
        assert_eq!(redactor.text("nothing here"), "nothing here");
    }

    #[test]
    fn base64_around_a_secret_keeps_only_border_characters() {
        let secret = "correct horse battery staple";
        for prefix in ["", "u", "us", "use"] {
            let text = STANDARD.encode(format!("{prefix}{secret}"));
            let redacted = redactor(secret).text(&text);
            assert!(
                redacted.replace("***", "").trim_end_matches('=').len() <= prefix.len() * 8 / 6 + 3,
                "{redacted}"
            );
        }
    }

    #[test]
    fn secret_across_the_cut_is_redacted_as_a_whole() {
        let redactor = redactor("hunter2-hunter2");
        assert_eq!(
            redactor.overlap_bytes(),
            hex::encode("hunter2-hunter2").len()
        );
        assert_eq!(redactor.bytes(b"abc hunter2-hunter2 def", 8), b"abc ***");
        assert_eq!(redactor.bytes(b"abc hunter2-hunter2 def", 4), b"abc ");
    }

    #[test]
    fn start_of_a_long_text_is_redacted() {
        let redactor = redactor("hunter2-hunter2");
        assert_eq!(redactor.start("abc hunter2-hunter2 def", 8), "abc ***");
        assert_eq!(
            redactor.start("abc hunter2-hunter2 def", 100),
            "abc *** def"
        );
        assert_eq!(redactor.start("äöü", 3), "ä", "no half of a character");
        assert_eq!(Redactor::default().start("äöü", 3), "ä");
    }

    #[test]
    fn very_short_secrets_are_ignored() {
        assert_eq!(redactor("ab").text("abab"), "abab");
        assert_eq!(redactor("ab").text("6162 YWI="), "6162 YWI=", "in no form");
    }

    #[test]
    fn short_unused_secrets_are_ignored() {
        let mut redactor = Redactor::default();
        redactor.add_unused(&SecretString::from("4711"));
        redactor.add_unused(&SecretString::from("hunter2-hunter2"));
        assert_eq!(
            redactor.text(r#"{"id":4711,"key":"hunter2-hunter2"}"#),
            r#"{"id":4711,"key":"***"}"#
        );
        redactor.add(&SecretString::from("4711"));
        assert_eq!(redactor.text("4711"), "***", "now it is used");
    }
}
