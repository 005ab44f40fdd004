//! Host patterns of `allow_hosts`: scheme, host and port that an operator fixes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::Issue;

/// One entry of `allow_hosts`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    pub scheme: String,
    pub host: HostName,
    /// The given port, or the scheme's default.
    pub port: u16,
}

/// The host or hosts that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostName {
    /// One name, in lower case.
    Exact(String),
    /// Every name that ends in a dot and this suffix, in lower case. The suffix alone does not
    /// match.
    Below(String),
    Address(IpAddr),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {reason}")]
pub struct HostPatternError {
    text: String,
    reason: &'static str,
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let wrong = |reason| HostPatternError {
            text: text.to_owned(),
            reason,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("must begin with https:// or http://"))?;
        let default_port =
            default_port(scheme).ok_or_else(|| wrong("must begin with https:// or http://"))?;
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong(
                "must be a scheme, a host and an optional port, without path or user",
            ));
        }
        let (host, port) = split_port(rest).ok_or_else(|| wrong("has an invalid port"))?;
        let host = match host.strip_prefix("*.") {
            Some(suffix) if suffix.split('.').count() < 2 => {
                return Err(wrong("needs at least two labels after `*.`"));
            }
            Some(suffix) => HostName::Below(
                domain(suffix).ok_or_else(|| wrong("has no valid host name after `*.`"))?,
            ),
            None => exact(host).ok_or_else(|| wrong("has no valid host name or address"))?,
        };
        Ok(Self {
            scheme: scheme.to_owned(),
            host,
            port: port.unwrap_or(default_port),
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.host {
            HostName::Exact(name) => write!(f, "{name}")?,
            HostName::Below(suffix) => write!(f, "*.{suffix}")?,
            HostName::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            HostName::Address(address) => write!(f, "{address}")?,
        }
        // Like URLs, without the scheme's default port.
        if Some(self.port) == default_port(&self.scheme) {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

/// The problems of the patterns at `/allow_hosts`.
pub(super) fn allow_hosts(patterns: &[String]) -> Vec<Issue> {
    let issue = |(index, text): (usize, &String)| {
        let error = text.parse::<HostPattern>().err()?;
        Some(Issue::new(
            format!("/allow_hosts/{index}"),
            "host.invalid",
            error.to_string(),
        ))
    };
    patterns.iter().enumerate().filter_map(issue).collect()
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// Splits host and port; none if the port is not a number from 1 to 65535.
fn split_port(rest: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if rest.starts_with('[') {
        rest.find(']')? + 1
    } else {
        rest.find(':').unwrap_or(rest.len())
    };
    let (host, port) = rest.split_at(host_end);
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        None => None,
        Some(digits) => digits
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .map(|port| (host, Some(port))),
    }
}

fn exact(host: &str) -> Option<HostName> {
    match url::Host::parse(host).ok()? {
        url::Host::Domain(_) => domain(host).map(HostName::Exact),
        url::Host::Ipv4(address) => Some(HostName::Address(address.into())),
        url::Host::Ipv6(address) => Some(HostName::Address(address.into())),
    }
}

fn domain(host: &str) -> Option<String> {
    let url::Host::Domain(name) = url::Host::parse(host).ok()? else {
        return None;
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}
