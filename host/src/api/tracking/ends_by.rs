//! What ends a wait: time, the host or a person, with the command and the request for a person.

use egression_core::time::Wall;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::state::ApiState;

/// Everything but the unreserved characters of RFC 3986.
const IN_A_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndsBy {
    /// Who ends it unless a person does so earlier.
    pub who: Who,
    /// When, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The command with which a person ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "egression limit reopen connection:7")]
    pub command: Option<String>,
    /// The request with which a person ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<EndsByRequest>,
}

/// Who ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Time,
    Host,
    Person,
}

/// A request to this API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndsByRequest {
    #[schema(example = "POST")]
    pub method: String,
    #[schema(example = "/v1/limits/connection%3A7:reopen")]
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
}

/// What reopens a limit that a destination closed.
pub fn closed_limit(key: &str, until: Wall) -> EndsBy {
    EndsBy {
        who: Who::Time,
        at: Some(until.to_rfc3339()),
        command: Some(format!("egression limit reopen {}", quoted(key))),
        request: Some(EndsByRequest {
            method: "POST".to_owned(),
            path: format!(
                "/v1/limits/{}:reopen",
                utf8_percent_encode(key, IN_A_SEGMENT)
            ),
            body: None,
        }),
    }
}

/// The same if this limit is closed now. `shown`: the end of the wait in the same view, which must
/// not differ by the rounding of another reading of the clock.
pub fn if_closed(state: &ApiState, key: Option<&str>, shown: Option<Wall>) -> Option<EndsBy> {
    let key = key?;
    let until = state.gate.closed_until(key)?;
    Some(closed_limit(key, shown.unwrap_or(until)))
}

/// The key as one word of a shell.
fn quoted(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/-_.,=~".contains(c);
    if key.chars().all(plain) && !key.starts_with('~') {
        key.to_owned()
    } else {
        format!("'{}'", key.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn closed_limit_names_a_request_and_a_command() {
        let ends = closed_limit("channel:shop/channel#1 (it's)", Wall(0));
        assert_eq!(
            (ends.who, ends.at.as_deref()),
            (Who::Time, Some("1970-01-01T00:00:00.000Z"))
        );
        assert_eq!(
            ends.command.unwrap(),
            "egression limit reopen 'channel:shop/channel#1 (it'\\''s)'"
        );
        assert_eq!(
            ends.request.unwrap().path,
            "/v1/limits/channel%3Ashop%2Fchannel%231%20%28it%27s%29:reopen"
        );
        let plain = closed_limit("connection:7", Wall(0));
        assert_eq!(
            plain.command.unwrap(),
            "egression limit reopen connection:7"
        );
    }
}
