//! The `Prefer` request header (RFC 7240): how long to wait, and whether one invalid item fails the
//! whole request.

use http::{HeaderMap, HeaderValue};

/// Unknown preferences are ignored, as the RFC requires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    pub wait_s: Option<u64>,
    pub respond_async: bool,
    pub strict: bool,
    /// `handling=lenient`, the default.
    pub lenient: bool,
}

impl Preferences {
    /// Reads all `Prefer` fields. The first mention of a preference counts (RFC 7240, section 2).
    pub fn of(headers: &HeaderMap) -> Self {
        let mut preferences = Self::default();
        let texts = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        for preference in texts.flat_map(|text| text.split(',')) {
            let main = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = main.split_once('=').map_or((main, ""), |(n, v)| {
                (n.trim_end(), v.trim().trim_matches('"'))
            });
            match name.to_ascii_lowercase().as_str() {
                "wait" if preferences.wait_s.is_none() => preferences.wait_s = value.parse().ok(),
                "respond-async" => preferences.respond_async = true,
                "handling" if !preferences.strict && !preferences.lenient => {
                    preferences.strict = value.eq_ignore_ascii_case("strict");
                    preferences.lenient = value.eq_ignore_ascii_case("lenient");
                }
                _ => {}
            }
        }
        preferences
    }

    /// How long to wait, in milliseconds: the preferred time, otherwise `default_ms`, but at most
    /// `max_ms`.
    pub fn wait_ms(&self, default_ms: u64, max_ms: u64) -> u64 {
        match (self.wait_s, self.respond_async) {
            (Some(seconds), _) => seconds.saturating_mul(1000).min(max_ms),
            (None, true) => 0,
            (None, false) => default_ms.min(max_ms),
        }
    }

    /// The value of `Preference-Applied`, if a preference was honored.
    pub fn applied(&self, waited: bool) -> Option<HeaderValue> {
        let mut applied = Vec::new();
        match self.wait_s {
            Some(seconds) if waited => applied.push(format!("wait={seconds}")),
            _ if self.respond_async && !waited => applied.push("respond-async".to_owned()),
            _ => {}
        }
        if self.strict {
            applied.push("handling=strict".to_owned());
        } else if self.lenient {
            applied.push("handling=lenient".to_owned());
        }
        HeaderValue::from_str(&applied.join(", "))
            .ok()
            .filter(|v| !v.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences(values: &[&'static str]) -> Preferences {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", HeaderValue::from_static(value));
        }
        Preferences::of(&headers)
    }

    #[test]
    fn preferences_follow_the_rfc() {
        assert_eq!(preferences(&[]), Preferences::default());
        assert_eq!(
            preferences(&["respond-async, wait=10"]),
            Preferences {
                wait_s: Some(10),
                respond_async: true,
                ..Preferences::default()
            }
        );
        assert_eq!(
            preferences(&["Wait = \"5\"; foo=bar", "wait=7"]).wait_s,
            Some(5)
        );
        assert!(preferences(&["handling=strict"]).strict);
        assert!(preferences(&["handling=lenient", "handling=strict"]).lenient);
        assert_eq!(preferences(&["wait=soon, unknown"]), Preferences::default());
    }

    #[test]
    fn preferred_wait_is_bounded() {
        assert_eq!(preferences(&["wait=10"]).wait_ms(1000, 60_000), 10_000);
        assert_eq!(
            preferences(&["wait=99999999999999999"]).wait_ms(1000, 60_000),
            60_000
        );
        assert_eq!(preferences(&["respond-async"]).wait_ms(1000, 60_000), 0);
        assert_eq!(preferences(&[]).wait_ms(1000, 60_000), 1000);
    }

    #[test]
    fn preference_applied_lists_only_honored_preferences() {
        assert_eq!(
            preferences(&["wait=3"]).applied(true),
            Some(HeaderValue::from_static("wait=3"))
        );
        assert_eq!(
            preferences(&["respond-async, handling=strict"]).applied(false),
            Some(HeaderValue::from_static("respond-async, handling=strict"))
        );
        assert_eq!(preferences(&[]).applied(true), None);
    }
}
