//! One submission as a client writes it: the body of `POST /v1/jobs`, an element of `jobs`, a line
//! of NDJSON, or `defaults`.
//!
//! Only the shape: unknown fields and wrong types are refused here, with their place. `validate.rs`
//! checks the values.

use egression_core::domain::action::Action;
use egression_core::domain::object::ObjectKey;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::http::json_pointer;
use crate::api::http::problem::FieldError;
use crate::store::rows::Context;

/// An object in its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectReference {
    /// The object's type.
    #[serde(rename = "type")]
    #[schema(example = "category")]
    pub object_type: String,
    /// The object's id in the source.
    #[schema(example = "c1")]
    pub id: String,
}

impl From<ObjectReference> for ObjectKey {
    fn from(object: ObjectReference) -> Self {
        Self::new(object.object_type, object.id)
    }
}

impl From<ObjectKey> for ObjectReference {
    fn from(object: ObjectKey) -> Self {
        Self {
            object_type: object.object_type,
            id: object.id,
        }
    }
}

/// One action on one or more objects of one type, for one or more channels. Each object on each
/// channel becomes one job. In a bulk request, every field can come from `defaults`; `null` means
/// absent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({
    "subscription": "acme", "source": "pim", "channels": ["shop-de"], "action": "update",
        "object_type": "product",
    "object_ids": ["4711"], "depends_on": [{"type": "category", "id": "c1"}],
        "context": {"flow": "nightly"}
}))]
pub struct Submission {
    /// Whose data it is. Optional with a key that is bound to a subscription. Once per request.
    pub subscription: Option<String>,
    /// Where the host reads the body when it sends the job. Not needed for a delete or with
    /// `payload`.
    pub source: Option<String>,
    /// The channels that it goes to. Required, unless `channel` is present.
    pub channels: Option<Vec<String>>,
    /// The channel that it goes to, if there is only one.
    pub channel: Option<String>,
    /// `create`, `update`, `delete` or `upsert`. Required.
    #[schema(value_type = Option<String>, example = "upsert")]
    pub action: Option<Action>,
    /// Required.
    pub object_type: Option<String>,
    /// At least one, each at most 512 bytes. Required.
    pub object_ids: Option<Vec<String>>,
    /// Not sent before this time (RFC 3339).
    pub scheduled_at: Option<String>,
    /// Jobs with the same key are delivered one after the other. Overrides the channel's rule.
    pub partition_key: Option<String>,
    /// −10 … 10, higher first. It orders keys within a subscription, never jobs within a key.
    pub priority: Option<i64>,
    /// The caller's own reference for the job; at most 200 bytes.
    pub client_ref: Option<String>,
    /// Objects that must be delivered first.
    #[schema(value_type = Option<Vec<ObjectReference>>)]
    pub depends_on: Option<Vec<ObjectReference>>,
    /// The body; only with exactly one object id.
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Box<RawValue>>,
    /// `payload` is the whole object, not a part of it.
    pub full: Option<bool>,
    /// The source's revision of `payload`. The host does not send a lower revision than it already
    /// delivered.
    pub revision: Option<u64>,
    /// A job that is not sent by this time fails (`expired`). RFC 3339.
    pub expires_at: Option<String>,
    /// At most ten pairs that connect the work with the caller's workflow.
    pub context: Option<Context>,
}

impl Submission {
    /// The error names the place and the expectation.
    pub fn read(text: &[u8]) -> Result<Self, FieldError> {
        json_pointer::read(text)
    }

    /// This submission, with `defaults` for absent fields. `context` is not merged, because the
    /// pairs of `defaults` belong to the execution.
    pub fn over(self, defaults: &Self) -> Self {
        let names_channels = self.channels.is_some() || self.channel.is_some();
        let inherit =
            |own: Option<String>, default: &Option<String>| own.or_else(|| default.clone());
        Self {
            subscription: inherit(self.subscription, &defaults.subscription),
            source: inherit(self.source, &defaults.source),
            channels: if names_channels {
                self.channels
            } else {
                defaults.channels.clone()
            },
            channel: if names_channels {
                self.channel
            } else {
                defaults.channel.clone()
            },
            action: self.action.or(defaults.action),
            object_type: inherit(self.object_type, &defaults.object_type),
            object_ids: self.object_ids.or_else(|| defaults.object_ids.clone()),
            scheduled_at: inherit(self.scheduled_at, &defaults.scheduled_at),
            partition_key: inherit(self.partition_key, &defaults.partition_key),
            priority: self.priority.or(defaults.priority),
            client_ref: inherit(self.client_ref, &defaults.client_ref),
            depends_on: self.depends_on.or_else(|| defaults.depends_on.clone()),
            payload: self.payload.or_else(|| defaults.payload.clone()),
            full: self.full.or(defaults.full),
            revision: self.revision.or(defaults.revision),
            expires_at: inherit(self.expires_at, &defaults.expires_at),
            context: self.context,
        }
    }

    /// The first object, if it is named: for the report of a refused item.
    pub fn object(&self) -> Option<ObjectKey> {
        let id = self.object_ids.as_ref()?.first()?;
        Some(ObjectKey::new(self.object_type.as_deref()?, id.as_str()))
    }
}

/// The first `max_bytes` of a text, cut between characters.
pub fn excerpt(text: &[u8], max_bytes: usize) -> String {
    let text = text.trim_ascii();
    let shown = String::from_utf8_lossy(&text[..text.len().min(max_bytes)]).into_owned();
    let mut end = shown.len().min(max_bytes);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown[..end].trim_end_matches('\u{fffd}').to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn submission_reads_every_field() {
        let text = r#"{"subscription":"acme","source":"pim","channels":["shop-de"],
            "action":"update","object_type":"product","object_ids":["4711"],
            "scheduled_at":null,"partition_key":null,"priority":0,"client_ref":null,
            "depends_on":[{"type":"category","id":"c1"}],
            "payload":null,"full":false,"revision":null,"expires_at":null,
            "context":{"flow":"nightly","run":"2026-11-21"}}"#;
        let submission = Submission::read(text.as_bytes()).unwrap();
        assert_eq!(submission.action, Some(Action::Update));
        assert!(submission.payload.is_none());
        assert_eq!(submission.object(), Some(ObjectKey::new("product", "4711")));
    }

    #[test]
    fn submission_errors_name_the_place_and_the_expected_value() {
        for (text, pointer, expected) in [
            (
                r#"{"action":"ship"}"#,
                "/action",
                "expected one of `create`, `update`, `delete`, `upsert`",
            ),
            (r#"{"action":5}"#, "/action", "expected"),
            (
                r#"{"object_ids":["a",4711]}"#,
                "/object_ids/1",
                "expected a string",
            ),
            (
                r#"{"object_ids":"a"}"#,
                "/object_ids",
                "expected a sequence",
            ),
            (
                r#"{"objects":["a"]}"#,
                "/objects",
                "unknown field `objects`",
            ),
            (
                r#"{"depends_on":[{"type":"c","id":"1","x":2}]}"#,
                "/depends_on/0/x",
                "unknown field `x`",
            ),
            (
                r#"{"depends_on":[{"type":"c"}]}"#,
                "/depends_on/0",
                "missing field `id`",
            ),
            (
                r#"{"depends_on":[{"type":"c","id":"1"},["c","2"]]}"#,
                "/depends_on/1",
                "expected an object",
            ),
            (
                r#"{"depends_on":[["c","1"]]}"#,
                "/depends_on/0",
                "expected an object",
            ),
            (r#"{"priority":1.5}"#, "/priority", "expected i64"),
            (r#"{"revision":-1}"#, "/revision", "expected u64"),
            (r#"{"context":{"a":1}}"#, "/context/a", "expected a string"),
            (r#"{"full":"yes"}"#, "/full", "expected a boolean"),
            (r#"{"payload":{"a":}}"#, "/payload", "expected value"),
            (r#"{"action":"update""#, "/action", "EOF"),
            ("7", "", "expected an object"),
        ] {
            let error = Submission::read(text.as_bytes()).unwrap_err();
            assert_eq!(error.pointer, pointer, "{text}: {}", error.detail);
            assert!(error.detail.contains(expected), "{text}: {}", error.detail);
        }
        assert!(Submission::read(b"{\"client_ref\":\"\xff\"}").is_err());
    }

    #[test]
    fn submission_overrides_defaults() {
        let defaults = Submission::read(
            br#"{"source":"pim","channels":["a","b"],"priority":3,"context":{"run":"1"}}"#,
        )
        .unwrap();
        let item = Submission::read(br#"{"channel":"c","priority":null,"context":{"step":"2"}}"#)
            .unwrap()
            .over(&defaults);
        assert_eq!(
            (item.channels, item.channel.as_deref(), item.priority),
            (None, Some("c"), Some(3))
        );
        assert_eq!(item.source.as_deref(), Some("pim"));
        assert_eq!(
            item.context,
            Some(Context::from([("step".into(), "2".into())]))
        );
    }

    #[test]
    fn excerpt_is_bounded_and_cut_between_characters() {
        assert_eq!(excerpt("  äöü".as_bytes(), 3), "ä");
        assert_eq!(excerpt(b"{\"a\":1}\n", 200), "{\"a\":1}");
        assert!(excerpt(&[0xff; 500], 200).len() <= 200);
    }
}
