//! Pins, which choose among the versions of a connector.

use std::str::FromStr;

use semver::Version;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    Exact(Version),
    /// The newest release with this major version, and with this minor version if there is one.
    Newest {
        major: u64,
        minor: Option<u64>,
    },
}

impl Pin {
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
    type Err = semver::Error;

    /// `1`, `1.2` or a whole version.
    fn from_str(text: &str) -> Result<Self, semver::Error> {
        match text.matches('.').count() {
            0 => Version::parse(&format!("{text}.0.0")).map(|oldest| Self::Newest {
                major: oldest.major,
                minor: None,
            }),
            1 => Version::parse(&format!("{text}.0")).map(|oldest| Self::Newest {
                major: oldest.major,
                minor: Some(oldest.minor),
            }),
            _ => Version::parse(text).map(Self::Exact),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pin_admits_the_versions_that_it_names() {
        let admits = |pin: &str, version: &str| {
            pin.parse::<Pin>()
                .unwrap()
                .admits(&version.parse().unwrap())
        };
        assert!(admits("1.2", "1.2.9") && !admits("1.2", "1.3.0"));
        assert!(admits("1", "1.3.0") && !admits("1", "2.0.0"));
        assert!(!admits("1.2", "1.2.9-rc.1") && admits("1.2.9-rc.1", "1.2.9-rc.1"));
    }

    #[test]
    fn pin_refuses_texts_that_are_no_part_of_a_version() {
        for text in [
            "", "1.", "1.2.3.4", "01", "1.02", "1.x", "v1", "1-rc", "1.2-rc", "1.2+b", "1.2.3-",
        ] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
