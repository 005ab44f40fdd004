//! Where an owner may send to, and which hosts a credential may go to.
//!
//! A grant fixes scheme, port and host. The suffix of a pattern `*.suffix` has at least two labels,
//! and the pattern does not cover the suffix itself.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::request_shape;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Port 80 by default.
    Http,
    /// Port 443 by default.
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host, or all hosts below a suffix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host only: a name in lower case, or an address as a URL writes it (`[::1]`).
    Exact(String),
    /// Every host that ends in this suffix, which starts with a dot.
    Suffix(String),
}

impl HostPattern {
    /// Whether the pattern covers a host in the notation of the `url` crate.
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

/// Where an owner may send to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    pub scheme: Scheme,
    pub host: HostPattern,
    pub port: u16,
}

/// A text is not a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a host to grant: {why}")]
pub struct GrantError {
    pub text: String,
    pub why: &'static str,
}

impl Grant {
    /// Whether the grant allows requests to a URL.
    pub fn covers(&self, url: &Url) -> bool {
        url.scheme() == self.scheme.as_str()
            && url.port_or_known_default() == Some(self.port)
            && url.host_str().is_some_and(|host| self.host.covers(host))
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    /// Parses `https://shop.example`, `https://*.shop.example:8443`, `http://[::1]:8080`.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = |why| GrantError {
            text: text.to_owned(),
            why,
        };
        let (plain, below) = match text.split_once("://*.") {
            Some((scheme, rest)) => (format!("{scheme}://{rest}"), true),
            None => (text.to_owned(), false),
        };
        let url = Url::parse(&plain)
            .map_err(|_| wrong("expected scheme://host or scheme://host:port"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong("the scheme must be http or https")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || request_shape::has_userinfo(&url)
        {
            return Err(wrong(
                "a grant must not have a path, query, fragment or user",
            ));
        }
        let host = url.host_str().ok_or_else(|| wrong("the host is missing"))?;
        let host = match (below, url.domain()) {
            (false, _) => HostPattern::Exact(host.to_owned()),
            (true, Some(name)) if name.trim_matches('.').contains('.') => {
                HostPattern::Suffix(format!(".{name}"))
            }
            (true, _) => {
                return Err(wrong("the name after `*.` must have two labels or more"));
            }
        };
        Ok(Self {
            scheme,
            host,
            port: url.port().unwrap_or(scheme.port()),
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.host {
            HostPattern::Exact(host) => host.clone(),
            HostPattern::Suffix(suffix) => format!("*{suffix}"),
        };
        write!(f, "{}://{host}", self.scheme.as_str())?;
        if self.port == self.scheme.port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

/// Checks that a URL is granted.
pub fn check_grants(grants: &[Grant], url: &Url) -> Result<(), String> {
    if grants.iter().any(|grant| grant.covers(url)) {
        return Ok(());
    }
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    Err(format!(
        "{}://{}{port} is not granted",
        url.scheme(),
        url.host_str().unwrap_or_default()
    ))
}

/// Whether a credential may go to a URL. It was entered for `bound`: grants or host patterns.
pub fn is_bound_to(bound: &[String], url: &Url) -> bool {
    bound.iter().any(|text| {
        if text.contains("://") {
            return text.parse::<Grant>().is_ok_and(|grant| grant.covers(url));
        }
        // A host pattern leaves the scheme open; the grant was checked before and fixes it.
        text.parse::<HostPattern>()
            .is_ok_and(|pattern| url.host_str().is_some_and(|host| pattern.covers(host)))
    })
}

impl FromStr for HostPattern {
    type Err = GrantError;

    /// Parses a host without scheme: `shop.example`, `*.shop.example`, `[::1]`. Ignores a port.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        format!("https://{text}")
            .parse::<Grant>()
            .map(|grant| grant.host)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn covers(grant: &str, url: &str) -> bool {
        grant
            .parse::<Grant>()
            .unwrap()
            .covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn grant_fixes_scheme_host_and_port() {
        assert!(covers(
            "https://shop.example",
            "https://shop.example/orders?x=1"
        ));
        assert!(covers("https://shop.example", "https://SHOP.example:443/"));
        assert!(!covers("https://shop.example", "http://shop.example/"));
        assert!(!covers(
            "https://shop.example",
            "https://shop.example:8443/"
        ));
        assert!(!covers(
            "https://shop.example",
            "https://shop.example.evil.example/"
        ));
        assert!(!covers("https://shop.example", "https://shop.example./"));
        assert!(covers(
            "http://[::1]:8080",
            "http://[0:0:0:0:0:0:0:1]:8080/"
        ));
    }

    #[test]
    fn suffix_covers_subdomains_but_not_itself() {
        assert!(covers(
            "https://*.shop.example:8443",
            "https://a.b.shop.example:8443/"
        ));
        assert!(!covers("https://*.shop.example", "https://shop.example/"));
        assert!(!covers("https://*.shop.example", "https://myshop.example/"));
        for text in [
            "https://*.example",
            "https://*.",
            "https://*.10.0.0.1",
            "ftp://shop.example",
            "https://a@shop.example",
            "https://shop.example/x",
            "shop.example",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn grant_display_round_trips() {
        for text in [
            "https://shop.example",
            "https://*.shop.example:8443",
            "http://[::1]:8080",
        ] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn credential_is_bound_by_grant_or_host() {
        let url = Url::parse("https://api.shop.example:8443/x").unwrap();
        for bound in [
            "api.shop.example",
            "*.shop.example",
            "https://api.shop.example:8443",
        ] {
            assert!(is_bound_to(&[bound.to_owned()], &url), "{bound}");
        }
        for bound in [
            "shop.example",
            "https://api.shop.example",
            "http://api.shop.example:8443",
            "*.example",
            "",
        ] {
            assert!(!is_bound_to(&[bound.to_owned()], &url), "{bound}");
        }
        assert!(!is_bound_to(&[], &url));
    }
}
