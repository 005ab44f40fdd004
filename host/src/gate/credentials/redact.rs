//! Hides the secrets of a call from whoever reads its answers and its history.
//!
//! Every secret that left in a call is looked for as it is, in base64 (at each of the three
//! positions in which it can lie, so that `user:password` encoded as one is found too),
//! percent-encoded, escaped for JSON, and in hexadecimal. What is found becomes `***`.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::encoding;

/// Secrets shorter than this are not looked for: they would be found everywhere.
const SHORTEST_BYTES: usize = 4;
/// The same for those that the call has not put in.
const SHORTEST_UNUSED_BYTES: usize = 12;
const MASK: &[u8] = b"***";

/// The secrets of a call in all their forms.
#[derive(Default)]
pub struct Redactor {
    /// Longest first, so that a secret that contains another is replaced whole.
    forms: Vec<SecretSlice<u8>>,
}

impl Redactor {
    /// Adds a secret that the call itself puts in.
    pub fn add(&mut self, secret: &SecretString) {
        self.add_from(secret, SHORTEST_BYTES);
    }

    /// Adds a secret of the owner that the call may never use. A short one, a user's name, an
    /// account's number, would be found in answers that have nothing to do with it, and what stands
    /// in its place is no number, and no id.
    pub fn add_unused(&mut self, secret: &SecretString) {
        self.add_from(secret, SHORTEST_UNUSED_BYTES);
    }

    fn add_from(&mut self, secret: &SecretString, shortest: usize) {
        if secret.expose_secret().len() < shortest {
            return;
        }
        for form in forms(secret.expose_secret()) {
            if form.len() >= SHORTEST_BYTES && !self.forms.iter().any(|f| f.expose_secret() == form)
            {
                self.forms.push(form.into());
            }
        }
        self.forms
            .sort_by_key(|form| std::cmp::Reverse(form.expose_secret().len()));
    }

    /// No secret left in this call.
    pub const fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// How many bytes past a cut must be known, so that a secret that the cut would split is found.
    pub fn overlap_bytes(&self) -> usize {
        self.forms
            .first()
            .map_or(0, |form| form.expose_secret().len())
    }

    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes(), text.len())).into_owned()
    }

    /// Masks the first `keep` bytes of a text and looks at no more than that takes.
    pub fn start(&self, text: &str, keep: usize) -> String {
        let keep = text.floor_char_boundary(keep);
        let known = &text.as_bytes()[..text.len().min(keep.saturating_add(self.overlap_bytes()))];
        String::from_utf8_lossy(&self.bytes(known, keep)).into_owned()
    }

    /// Masks the first `keep` of these bytes. A secret that starts before the cut is masked whole.
    pub fn bytes(&self, bytes: &[u8], keep: usize) -> Vec<u8> {
        let keep = keep.min(bytes.len());
        let mut starts = [false; 256];
        for form in &self.forms {
            if let Some(&first) = form.expose_secret().first() {
                starts[usize::from(first)] = true;
            }
        }
        let mut masked = Vec::with_capacity(keep);
        let mut at = 0;
        while at < keep {
            let found = starts[usize::from(bytes[at])]
                .then(|| {
                    self.forms
                        .iter()
                        .map(|f| f.expose_secret())
                        .find(|form| bytes[at..].starts_with(form))
                })
                .flatten();
            if let Some(form) = found {
                masked.extend_from_slice(MASK);
                at += form.len();
            } else {
                masked.push(bytes[at]);
                at += 1;
            }
        }
        masked
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

/// The characters of a base64 text that depend on `plain` alone when it lies `shift` bytes behind a
/// group's start.
fn inner_base64(engine: &impl base64::Engine, plain: &[u8], shift: usize) -> Vec<u8> {
    let mut shifted = vec![0; shift];
    shifted.extend_from_slice(plain);
    // Bits before the secret reach into the first characters, bits after it into the last one.
    let from = (shift * 8).div_ceil(6);
    let to = shifted.len() * 8 / 6;
    let text = engine.encode(&shifted).into_bytes();
    text.get(from..to).unwrap_or_default().to_vec()
}

/// `%2F` as `%2f`.
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

    fn mask(secret: &str) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(&SecretString::from(secret));
        mask
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secret = "p/ss w\"rd+42%\u{e9}";
        let redactor = mask(secret);
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
            let masked = redactor.text(&format!("<<{form}>>"));
            assert!(masked.contains("***"), "{form} -> {masked}");
            assert!(
                !masked.contains("ss w") && !masked.contains("rd+42"),
                "{form} -> {masked}"
            );
        }
        assert_eq!(redactor.text("nothing here"), "nothing here");
    }

    #[test]
    fn a_base64_text_around_a_secret_keeps_at_most_the_border_characters() {
        let secret = "correct horse battery staple";
        for prefix in ["", "u", "us", "use"] {
            let text = STANDARD.encode(format!("{prefix}{secret}"));
            let masked = mask(secret).text(&text);
            assert!(
                masked.replace("***", "").trim_end_matches('=').len() <= prefix.len() * 8 / 6 + 3,
                "{masked}"
            );
        }
    }

    #[test]
    fn a_secret_across_the_cut_is_masked_whole() {
        let redactor = mask("hunter2-hunter2");
        assert_eq!(
            redactor.overlap_bytes(),
            hex::encode("hunter2-hunter2").len()
        );
        assert_eq!(redactor.bytes(b"abc hunter2-hunter2 def", 8), b"abc ***");
        assert_eq!(redactor.bytes(b"abc hunter2-hunter2 def", 4), b"abc ");
    }

    #[test]
    fn the_start_of_a_long_text_is_masked_by_looking_at_little_more_than_it() {
        let redactor = mask("hunter2-hunter2");
        assert_eq!(redactor.start("abc hunter2-hunter2 def", 8), "abc ***");
        assert_eq!(
            redactor.start("abc hunter2-hunter2 def", 100),
            "abc *** def"
        );
        assert_eq!(redactor.start("äöü", 3), "ä", "no half of a character");
        assert_eq!(Redactor::default().start("äöü", 3), "ä");
    }

    #[test]
    fn very_short_secrets_are_left() {
        assert_eq!(mask("ab").text("abab"), "abab");
        assert_eq!(mask("ab").text("6162 YWI="), "6162 YWI=", "in no form");
    }

    #[test]
    fn short_secrets_that_a_call_does_not_use_are_left() {
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
