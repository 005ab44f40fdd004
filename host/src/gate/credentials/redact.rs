//! Removes a call's secrets from what guests, the history and the log see.
//!
//! The redactor looks for each secret as text in any case, in base64 (at each of the three possible
//! offsets, so that it also finds `user:password` encoded as one text), and in hexadecimal. It
//! reads each of these plain, percent-encoded, as a form value, and with JSON or HTML escapes
//! ([`Reading`]), and replaces each match by `***`.
//!
//! The search is linear: a response that was made to slow it down is masked from there on.

use std::collections::HashMap;

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::reading::{self, READINGS, Reading};

/// Shorter secrets would match everywhere, so the redactor ignores them. Nobody can enter one
/// ([`crate::documents::secret`]); a destination can issue one.
const SHORTEST_BYTES: usize = 4;
/// The same for secrets that the call has not sent.
const SHORTEST_UNUSED_BYTES: usize = 12;
const MASK: &[u8] = b"***";

/// Comparisons per byte of the text. Texts that were not made to slow down the search need about
/// one.
const STEPS_PER_BYTE: usize = 64;
/// Comparisons that a short text may need in addition.
const FREE_STEPS: usize = 1 << 16;

/// The secrets of a call. Wiped when dropped.
#[derive(Default)]
pub struct Redactor {
    /// The needles by their first byte, in lower case.
    by_first: HashMap<u8, Vec<Needle>>,
    longest_bytes: usize,
}

/// A secret as the search compares it with what it reads.
struct Needle {
    bytes: SecretSlice<u8>,
    any_case: bool,
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
        let plain = secret.expose_secret().as_bytes();
        if plain.len() < shortest {
            return;
        }
        self.add_needle(plain.to_vec().into(), true);
        let digits = Zeroizing::new(hex::encode(plain));
        self.add_needle(digits.as_bytes().to_vec().into(), true);
        for shift in 0..3 {
            self.add_needle(inner_base64(&STANDARD_NO_PAD, plain, shift), false);
            self.add_needle(inner_base64(&URL_SAFE_NO_PAD, plain, shift), false);
        }
    }

    fn add_needle(&mut self, bytes: SecretSlice<u8>, any_case: bool) {
        let Some(first) = bytes.expose_secret().first() else {
            return;
        };
        let known = self.by_first.entry(first.to_ascii_lowercase()).or_default();
        let is_known = |other: &Needle| {
            other.any_case == any_case && other.bytes.expose_secret() == bytes.expose_secret()
        };
        if !known.iter().any(is_known) {
            let longest = bytes.expose_secret().len() * reading::MAX_UNIT_BYTES;
            self.longest_bytes = self.longest_bytes.max(longest);
            known.push(Needle { bytes, any_case });
        }
    }

    /// The call has no secrets.
    pub fn is_empty(&self) -> bool {
        self.by_first.is_empty()
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
        for &first in self.by_first.keys() {
            starts[usize::from(first)] = true;
            starts[usize::from(first.to_ascii_uppercase())] = true;
        }
        for byte in reading::ESCAPES {
            starts[usize::from(byte)] = !self.is_empty();
        }
        let mut steps = bytes
            .len()
            .saturating_mul(STEPS_PER_BYTE)
            .saturating_add(FREE_STEPS);
        let mut redacted = Vec::with_capacity(keep);
        let mut at = 0;
        while at < keep {
            let starts_here = starts[usize::from(bytes[at])];
            match starts_here
                .then(|| self.longest_at(&bytes[at..], &mut steps))
                .flatten()
            {
                Some(length) => {
                    redacted.extend_from_slice(MASK);
                    at += length;
                }
                None => {
                    redacted.push(bytes[at]);
                    at += 1;
                }
            }
            if steps == 0 {
                redacted.extend_from_slice(MASK);
                break;
            }
        }
        redacted
    }

    /// The length of the longest secret that these bytes start with, so that a secret that contains
    /// another one is replaced as a whole.
    fn longest_at(&self, bytes: &[u8], steps: &mut usize) -> Option<usize> {
        READINGS
            .iter()
            .filter_map(|reading| {
                let unit = reading.next(bytes)?;
                let known = self.by_first.get(&unit.bytes()[0].to_ascii_lowercase())?;
                known
                    .iter()
                    .filter_map(|needle| needle.length_at(bytes, *reading, steps))
                    .max()
            })
            .max()
    }
}

impl Needle {
    /// How many of these bytes are the needle, if they start with it.
    fn length_at(&self, bytes: &[u8], reading: Reading, steps: &mut usize) -> Option<usize> {
        let mut rest = self.bytes.expose_secret();
        let mut at = 0;
        while !rest.is_empty() {
            *steps = steps.checked_sub(1)?;
            let unit = reading.next(&bytes[at..])?;
            let (head, tail) = rest.split_at_checked(unit.bytes().len())?;
            let same = if self.any_case {
                head.eq_ignore_ascii_case(unit.bytes())
            } else {
                head == unit.bytes()
            };
            if !same {
                return None;
            }
            rest = tail;
            at += unit.length;
        }
        Some(at)
    }
}

/// The characters of a base64 text that depend only on `plain`, which starts `shift` bytes after a
/// group's start.
fn inner_base64(engine: &impl base64::Engine, plain: &[u8], shift: usize) -> SecretSlice<u8> {
    // With its whole length at once, because a growing vector leaves copies behind.
    let mut shifted = Zeroizing::new(vec![0; shift + plain.len()]);
    shifted[shift..].copy_from_slice(plain);
    // The first characters also depend on bits before the secret, the last one on bits after it.
    let from = (shift * 8).div_ceil(6);
    let to = shifted.len() * 8 / 6;
    let text = Zeroizing::new(engine.encode(&shifted));
    text.as_bytes()
        .get(from..to)
        .unwrap_or_default()
        .to_vec()
        .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::gate::credentials::encoding;

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
            percent.to_ascii_lowercase(),
            percent.replace("%2F", "/"),
            secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            serde_json::to_string(secret).unwrap(),
            serde_json::to_string(secret).unwrap().replace('/', "\\/"),
            secret
                .chars()
                .map(|char| format!("\\u{:04x}", u32::from(char)))
                .collect(),
            secret.replace('"', "&quot;"),
            secret
                .chars()
                .map(|char| format!("&#{};", u32::from(char)))
                .collect(),
            secret.to_ascii_uppercase(),
            hex::encode(secret),
            hex::encode_upper(secret),
            STANDARD.encode(secret).replace('/', "\\/"),
            encoding::percent(STANDARD.encode(secret)),
            STANDARD.encode(secret),
            STANDARD.encode(format!("a:{secret}:b")),
            STANDARD.encode(format!("ab:{secret}")),
            STANDARD.encode(format!("abc:{secret}x")),
        ] {
            let redacted = redactor.text(&format!("<<{form}>>"));
            assert!(redacted.contains("***"), "{form} -> {redacted}");
            assert!(
                redacted.len() < "<<***>>".len() + 14,
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
        let escaped = "&#x000041;".repeat(hex::encode("hunter2-hunter2").len());
        assert!(redactor.overlap_bytes() >= escaped.len());
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
    fn text_that_slows_down_the_search_is_masked_from_there_on() {
        let redactor = redactor(&format!("{}b", "a".repeat(5000)));
        let text = "a".repeat(100_000);
        let redacted = redactor.text(&text);
        assert!(redacted.len() < text.len() && redacted.ends_with("a***"));
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
