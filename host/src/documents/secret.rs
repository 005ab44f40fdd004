//! Where a secret comes from: an environment variable, a file, or the API. Never from the text of a
//! document.
//!
//! A reference is read once, when its document is taken in; the value goes to the vault and the
//! document keeps the reference, or a marker where the value came with the request. Serialising a
//! reference never gives a value away.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// The most bytes that a file with a secret may have. A larger one is a mistaken path.
pub const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A reference to a secret in a document.
#[derive(Clone, Debug, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretRef {
    /// Read from this environment variable of the host when the document is loaded.
    Env(String),
    /// Read from this file on the host when the document is loaded; one trailing line end is
    /// dropped.
    #[schema(value_type = String)]
    File(PathBuf),
    /// Given in the request. Accepted from the API only, encrypted at once, never given back.
    #[schema(value_type = String)]
    Value(SecretString),
    /// A value that was given before and is kept: what a read answers in place of `value`. Sent
    /// back, it keeps the value.
    #[schema(value_type = bool)]
    Stored(Kept),
}

/// The marker of a value that the host keeps: `true`, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept;

/// Why a secret was not read. Never carries the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretReadError {
    /// The host's environment does not hold it.
    #[error("the environment variable `{0}` is not set on the host")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the file `{}` cannot be read on the host: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is no secret.
    #[error("the file `{}` is larger than {MAX_SECRET_BYTES} bytes, which no secret is", .0.display())]
    TooLarge(PathBuf),
    /// A folder, a device, a pipe.
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
}

/// Read by hand: what is written in the wrong form may be the secret itself, and serde's own
/// readers would repeat it in what they complain of, which goes to answers and logs.
impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Not asked for as a map: the format would refuse a string by itself, and repeat it.
        from.deserialize_any(Reference)
    }
}

const EXPECTED: &str = "expected a secret as one of {env = \"NAME\"}, {file = \"PATH\"}, {value = \"…\"}, {stored = true}";

/// What stands behind the one name of a reference.
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
                    "`stored` can only be true; leave the credential out to forget it",
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

    never_repeated! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_char: char, visit_str: &str, visit_bytes: &[u8], }
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
    /// The secret, or `None` for one that is kept already. `variable` reads the host's environment.
    ///
    /// # Errors
    /// The variable is not set, the file cannot be read, or there is nothing in it.
    pub fn read(
        &self,
        variable: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<Option<SecretString>, SecretReadError> {
        let text = match self {
            Self::Env(name) => {
                variable(name).ok_or_else(|| SecretReadError::NotSet(name.clone()))?
            }
            Self::File(path) => read_file(path)?,
            Self::Value(value) if value.expose_secret().is_empty() => {
                return Err(SecretReadError::Empty);
            }
            Self::Value(value) => return Ok(Some(value.clone())),
            Self::Stored(Kept) => return Ok(None),
        };
        if text.is_empty() {
            return Err(SecretReadError::Empty);
        }
        Ok(Some(SecretString::from(text)))
    }

    /// What the document keeps: a value becomes the marker.
    #[must_use]
    pub fn kept(&self) -> Self {
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
    // Before it is opened: a pipe would wait for its writer, and a device has no end.
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

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_value_is_never_written() {
        let reference: SecretRef = serde_json::from_str(r#"{"value":"hush"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&reference).unwrap(),
            r#"{"stored":true}"#
        );
        assert!(!format!("{reference:?}").contains("hush"));
        assert!(matches!(reference.kept(), SecretRef::Stored(Kept)));
    }

    #[test]
    fn references_survive() {
        for text in [
            r#"{"env":"TOKEN"}"#,
            r#"{"file":"/run/token"}"#,
            r#"{"stored":true}"#,
        ] {
            let reference: SecretRef = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&reference.kept()).unwrap(), text);
        }
        for text in [r#"{"stored":false}"#, r#"{"text":"hush"}"#, r#""hush""#] {
            assert!(serde_json::from_str::<SecretRef>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_in_the_wrong_form_is_not_repeated() {
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
                    .and_then(crate::documents::shape::by_name::<Document, _>)
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
    fn reads_where_it_points_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "hush\r\n").unwrap();
        let secret = SecretRef::File(path.clone())
            .read(&nothing)
            .unwrap()
            .unwrap();
        assert_eq!(secret.expose_secret(), "hush");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(
            SecretRef::File(path).read(&nothing),
            Err(SecretReadError::Empty)
        ));
        let device = SecretRef::File("/dev/zero".into());
        assert!(
            matches!(device.read(&nothing), Err(SecretReadError::NotAFile(path)) if path == Path::new("/dev/zero"))
        );
        assert!(
            matches!(SecretRef::Env("T".into()).read(&nothing), Err(SecretReadError::NotSet(name)) if name == "T")
        );
        let set = SecretRef::Env("T".into())
            .read(&|name| Some(format!("{name}-value")))
            .unwrap()
            .unwrap();
        assert_eq!(set.expose_secret(), "T-value");
        assert!(SecretRef::Stored(Kept).read(&nothing).unwrap().is_none());
    }
}
