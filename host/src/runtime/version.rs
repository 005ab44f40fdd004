//! Semantic versions (semver.org 2.0.0) of connectors, and pins that choose among them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A semantic version. Sorts by precedence; build metadata only breaks ties.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: Vec<Identifier>,
    build: String,
}

/// A part of a pre-release. Numbers sort before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Identifier {
    Number(u64),
    Word(String),
}

/// A text is no semantic version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a semantic version such as `1.4.0`")]
pub struct VersionError(String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    Exact(Version),
    /// The newest released one with this major, and minor if given.
    Newest {
        major: u64,
        /// The minor version; none: any.
        minor: Option<u64>,
    },
}

impl Pin {
    /// The version is one that the pin means.
    #[must_use]
    pub fn admits(&self, version: &Version) -> bool {
        match self {
            Self::Exact(wanted) => wanted == version,
            Self::Newest { major, minor } => {
                version.pre.is_empty()
                    && version.major == *major
                    && minor.is_none_or(|minor| minor == version.minor)
            }
        }
    }
}

impl FromStr for Pin {
    type Err = VersionError;

    /// `1`, `1.2` or a whole version.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let parts: Vec<&str> = text.split('.').collect();
        match parts[..] {
            [major] => Ok(Self::Newest {
                major: number(major).ok_or_else(error)?,
                minor: None,
            }),
            [major, minor] => Ok(Self::Newest {
                major: number(major).ok_or_else(error)?,
                minor: Some(number(minor).ok_or_else(error)?),
            }),
            _ => text.parse().map(Self::Exact),
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        parse(text).ok_or_else(|| VersionError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Version> {
    let (rest, build) = text
        .split_once('+')
        .map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest
        .split_once('-')
        .map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let mut numbers = core.split('.').map(number);
    let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if numbers.next().is_some() || build.is_some_and(|build| !build.split('.').all(is_word)) {
        return None;
    }
    let pre = pre.map_or_else(
        || Some(Vec::new()),
        |pre| pre.split('.').map(identifier).collect(),
    )?;
    Some(Version {
        major,
        minor,
        patch,
        pre,
        build: build.unwrap_or_default().to_owned(),
    })
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn identifier(text: &str) -> Option<Identifier> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text).map(Identifier::Number);
    }
    is_word(text).then(|| Identifier::Word(text.to_owned()))
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            // A release is newer than its pre-releases.
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| self.pre.cmp(&other.pre))
            .then_with(|| self.build.cmp(&other.build))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        for (place, part) in self.pre.iter().enumerate() {
            f.write_str(if place == 0 { "-" } else { "." })?;
            match part {
                Identifier::Number(number) => write!(f, "{number}")?,
                Identifier::Word(word) => f.write_str(word)?,
            }
        }
        if self.build.is_empty() {
            Ok(())
        } else {
            write!(f, "+{}", self.build)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_precedence() {
        // The example of semver.org, section 11.
        let sorted = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.2.0",
            "1.10.0",
        ];
        let mut versions: Vec<Version> = sorted
            .iter()
            .rev()
            .map(|text| text.parse().unwrap())
            .collect();
        versions.sort();
        assert_eq!(
            versions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            sorted
        );
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "v1.2.3", "1.2.3-", "1.2.3-01", "1.2.3+",
            "1.2.3-ü",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert_eq!(
            "1.2.3-rc.1+b.7".parse::<Version>().unwrap().to_string(),
            "1.2.3-rc.1+b.7"
        );
    }

    #[test]
    fn pins_admit_what_they_name() {
        let admits = |pin: &str, version: &str| {
            pin.parse::<Pin>()
                .unwrap()
                .admits(&version.parse().unwrap())
        };
        assert!(
            admits("1.2", "1.2.9")
                && !admits("1.2", "1.3.0")
                && admits("1", "1.3.0")
                && !admits("1", "2.0.0")
        );
        assert!(!admits("1.2", "1.2.9-rc.1") && admits("1.2.9-rc.1", "1.2.9-rc.1"));
        assert!("1.x".parse::<Pin>().is_err());
    }
}
