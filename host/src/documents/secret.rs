//! The source of a secret: an environment variable, a file, or an API request. A document's text
//! never contains a secret.
//!
//! A reference is read once, when its document is written. The value goes to the vault; the
//! document keeps the reference, or a marker if the value came with the request. Serializing a
//! reference never reveals a value.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// The largest file with a secret, in bytes. A larger file is a wrong path.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;
/// The shortest secret in bytes. The host cannot mask a shorter one in responses: it would match in
/// unrelated text.
pub const MIN_SECRET_BYTES: usize = 8;

/// A reference to a secret in a document. A secret has at least 8 bytes and no control characters,
/// except for the line ends of a key in PEM.
#[derive(Clone, Debug, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// The name of an environment variable of the host, read when the document is loaded.
    Env(String),
    /// The path of a file on the host, read when the document is loaded. One trailing line end is
    /// removed.
    #[schema(value_type = String)]
    File(PathBuf),
    /// The secret itself. Only the API accepts it; it is encrypted and never returned.
    #[schema(value_type = String)]
    Value(SecretString),
    /// Marks a value that the host has stored. The API returns it in place of `value`; sending it
    /// back keeps the value.
    #[schema(value_type = bool)]
    Stored(Kept),
}

/// The marker of a stored value: always `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept;

/// Why a secret was not read. The error never contains the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretReadError {
    #[error("the environment variable `{0}` is not set on the host")]
    NotSet(String),
    #[error("the file `{}` cannot be read on the host: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the file `{}` is larger than {MAX_SECRET_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error(transparent)]
    Unfit(#[from] UnfitSecret),
}

/// Why a text cannot be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSecret {
    #[error("the secret is empty")]
    Empty,
    #[error(
        "a secret has at least {MIN_SECRET_BYTES} bytes, not {0}; a value that is not secret, such \
         as a user name, belongs in `settings`"
    )]
    TooShort(usize),
    #[error("the secret has a control character (U+{code:04X}) at byte {at}; remove it")]
    Control { code: u32, at: usize },
}

/// Refuses a text that is too short or has control characters. Only a key in PEM has line ends
/// (RFC 7468).
pub fn check_fit(secret: &str) -> Result<(), UnfitSecret> {
    if secret.is_empty() {
        return Err(UnfitSecret::Empty);
    }
    let is_pem = secret.starts_with("-----BEGIN ");
    let control = secret
        .char_indices()
        .find(|(_, char)| char.is_control() && !(is_pem && matches!(char, '\r' | '\n')));
    if let Some((at, char)) = control {
        let code = u32::from(char);
        return Err(UnfitSecret::Control { code, at });
    }
    if secret.len() < MIN_SECRET_BYTES {
        return Err(UnfitSecret::TooShort(secret.len()));
    }
    Ok(())
}

/// Implemented by hand: text in the wrong form may be the secret itself, and serde's derived
/// implementation would repeat it in its error, which goes to responses and logs.
impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // `deserialize_map` would let the format refuse a string, and repeat it in the error.
        from.deserialize_any(Reference)
    }
}

const EXPECTED: &str = "expected a secret as one of {env = \"NAME\"}, {file = \"PATH\"}, \
    {value = \"…\"}, {stored = true}";

/// The key or the value of a reference.
enum Word {
    Text(String),
    Flag(bool),
}

macro_rules! never_repeated {
    ($($method:ident: $type:ty,)*) => {
        $(fn $method<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom(EXPECTED))
        })*
    };
}

struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<SecretRef, A::Error> {
        let wrong = || A::Error::custom(EXPECTED);
        let Some((Word::Text(name), word)) = entries.next_entry::<Word, Word>()? else {
            return Err(wrong());
        };
        let reference = match (name.as_str(), word) {
            ("env", Word::Text(name)) => SecretRef::Env(name),
            ("file", Word::Text(path)) => SecretRef::File(path.into()),
            ("value", Word::Text(value)) => SecretRef::Value(value.into()),
            ("stored", Word::Flag(true)) => SecretRef::Stored(Kept),
            ("stored", Word::Flag(false)) => {
                return Err(A::Error::custom(
                    "`stored` can only be true; omit the credential to remove it",
                ));
            }
            _ => return Err(wrong()),
        };
        if entries.next_key::<Word>()?.is_some() {
            Err(wrong())
        } else {
            Ok(reference)
        }
    }

    never_repeated! {
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_char: char,
        visit_str: &str, visit_bytes: &[u8],
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word::Text(text.to_owned()))
            }
            fn visit_bool<E: Error>(self, flag: bool) -> Result<Word, E> {
                Ok(Word::Flag(flag))
            }
            never_repeated! { visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_bytes: &[u8], }
        }
        from.deserialize_any(Any)
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Env(name) => map.serialize_entry("env", name)?,
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Value(_) | Self::Stored(_) => map.serialize_entry("stored", &true)?,
        }
        map.end()
    }
}

impl SecretRef {
    /// Reads the secret; none for a stored one. `variable` reads the host's environment.
    pub fn read(
        &self,
        variable: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<Option<SecretString>, SecretReadError> {
        let secret = match self {
            Self::Env(name) => variable(name)
                .ok_or_else(|| SecretReadError::NotSet(name.clone()))?
                .into(),
            Self::File(path) => read_file(path)?.into(),
            Self::Value(value) => value.clone(),
            Self::Stored(Kept) => return Ok(None),
        };
        check_fit(secret.expose_secret())?;
        Ok(Some(secret))
    }

    /// The reference as it is stored: the marker replaces a value.
    pub fn without_value(&self) -> Self {
        match self {
            Self::Value(_) => Self::Stored(Kept),
            other => other.clone(),
        }
    }
}

fn read_file(path: &Path) -> Result<String, SecretReadError> {
    let unreadable = |source| SecretReadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Checked before opening: a pipe would wait for its writer, and a device never ends.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretReadError::NotAFile(path.to_owned()));
    }
    let mut text = String::new();
    let mut file = std::fs::File::open(path)
        .map_err(unreadable)?
        .take(MAX_SECRET_BYTES + 1);
    file.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(SecretReadError::TooLarge(path.to_owned()));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn no_variables(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn value_is_never_serialized() {
        let reference: SecretRef = serde_json::from_str(r#"{"value":"hush"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&reference).unwrap(),
            r#"{"stored":true}"#
        );
        assert!(!format!("{reference:?}").contains("hush"));
        assert!(matches!(reference.without_value(), SecretRef::Stored(Kept)));
    }

    #[test]
    fn reference_survives_a_round_trip() {
        for text in [
            r#"{"env":"TOKEN"}"#,
            r#"{"file":"/run/token"}"#,
            r#"{"stored":true}"#,
        ] {
            let reference: SecretRef = serde_json::from_str(text).unwrap();
            assert_eq!(
                serde_json::to_string(&reference.without_value()).unwrap(),
                text
            );
        }
        for text in [r#"{"stored":false}"#, r#"{"text":"hush"}"#, r#""hush""#] {
            assert!(serde_json::from_str::<SecretRef>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn malformed_reference_is_not_repeated_in_the_error() {
        #[derive(Debug, Deserialize)]
        struct Document {
            #[serde(rename = "auth")]
            _auth: crate::documents::model::AuthDocument,
        }
        for token in [
            "\"hush\"",
            "'hush'",
            "{ hush = \"x\" }",
            "{ value = [\"hush\"] }",
            "{ value = \"hush\", other = \"hush\" }",
            "{ value = { text = \"hush\" } }",
            "{ stored = \"hush\" }",
            "{ value = 4711 }",
            "4711",
            "[\"hush\"]",
        ] {
            for text in [
                format!("auth = {{ scheme = \"bearer\", token = {token} }}"),
                format!("auth = {token}"),
            ] {
                let error = toml::Deserializer::parse(&text)
                    .and_then(crate::documents::structs_from_objects::by_name::<Document, _>)
                    .unwrap_err();
                assert!(
                    !error.message().contains("hush") && !error.message().contains("4711"),
                    "{text}: {}",
                    error.message()
                );
            }
        }
        let error = serde_json::from_str::<SecretRef>("\"hush\"")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("{env = \"NAME\"}") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn secret_is_refused_if_it_is_short_or_has_control_characters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let control = |at| UnfitSecret::Control { code: 10, at };
        for (text, expected) in [
            ("hush-hu", Err(UnfitSecret::TooShort(7))),
            ("hush-hus", Ok(())),
            ("hush\nhush", Err(control(4))),
            ("hush-hush\n", Err(control(9))),
            (
                "hush-hush\u{85}",
                Err(UnfitSecret::Control { code: 0x85, at: 9 }),
            ),
            ("-----BEGIN PRIVATE KEY-----\r\nMII\n", Ok(())),
            (
                "-----BEGIN PRIVATE KEY-----\0",
                Err(UnfitSecret::Control { code: 0, at: 27 }),
            ),
        ] {
            // One line end of a file is not part of the secret.
            std::fs::write(&path, format!("{text}\n")).unwrap();
            for reference in [
                SecretRef::Value(text.into()),
                SecretRef::Env("TOKEN".to_owned()),
                SecretRef::File(path.clone()),
            ] {
                let read = reference.read(&|_| Some(text.to_owned()));
                let read = read.map(drop).map_err(|error| error.to_string());
                let expected = expected.clone().map_err(|error| error.to_string());
                assert_eq!(read, expected, "{text:?} {reference:?}");
            }
        }
    }

    #[test]
    fn reference_is_read_from_file_or_environment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "hush-hush\r\n").unwrap();
        let secret = SecretRef::File(path.clone())
            .read(&no_variables)
            .unwrap()
            .unwrap();
        assert_eq!(secret.expose_secret(), "hush-hush");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            SecretRef::File(path).read(&no_variables),
            Err(SecretReadError::Unfit(UnfitSecret::Empty))
        ));
        let device = SecretRef::File("/dev/zero".into());
        let error = device.read(&no_variables).unwrap_err();
        assert_eq!(error.to_string(), "`/dev/zero` is not a regular file");
        let error = SecretRef::Env("T".into()).read(&no_variables).unwrap_err();
        assert!(matches!(error, SecretReadError::NotSet(name) if name == "T"));
        let set = SecretRef::Env("T".into())
            .read(&|name| Some(format!("{name}-value-1")))
            .unwrap()
            .unwrap();
        assert_eq!(set.expose_secret(), "T-value-1");
        assert!(
            SecretRef::Stored(Kept)
                .read(&no_variables)
                .unwrap()
                .is_none()
        );
    }
}
