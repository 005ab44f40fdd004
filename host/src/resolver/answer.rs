//! What a Metadata API answers, read strictly: one object, or a batch.

use std::collections::HashMap;

use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ResolveError;

/// An object's body as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// JSON text, as it came.
    pub body: String,
    /// Larger is newer: the source's number, or its timestamp in milliseconds.
    pub revision: Option<u64>,
}

#[derive(Deserialize)]
struct ObjectAnswer {
    id: Option<Id>,
    #[serde(rename = "type")]
    object_type: Option<String>,
    revision: Option<Revision>,
    body: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct BatchAnswer {
    objects: Vec<ObjectAnswer>,
    #[serde(default)]
    missing: Vec<Id>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Revision {
    Number(u64),
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl Id {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl Revision {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok().or_else(|| Wall::parse_rfc3339(text).ok().and_then(|w| u64::try_from(w.0).ok())),
            Self::Other(_) => None,
        }
    }
}

/// Reads the answer to a read of one object.
pub(super) fn one(asked: &ObjectKey, bytes: &[u8], max_bytes: u64) -> Result<Resolved, ResolveError> {
    let answer: ObjectAnswer = serde_json::from_slice(bytes).map_err(|e| shape(&e.to_string()))?;
    if answer.id.is_some_and(|id| id.text() != asked.id) {
        return Err(shape("it answered for another id"));
    }
    take(asked, answer.object_type.as_deref(), answer.revision.as_ref(), answer.body, max_bytes)
}

/// Reads the answer to a batch read, for each object asked. An object that is neither there nor missing is an answer of another shape.
pub(super) fn batch(asked: &[ObjectKey], bytes: &[u8], max_bytes: u64) -> Result<Vec<Result<Resolved, ResolveError>>, ResolveError> {
    let answer: BatchAnswer = serde_json::from_slice(bytes).map_err(|e| shape(&e.to_string()))?;
    let missing: std::collections::HashSet<String> = answer.missing.into_iter().map(Id::text).collect();
    let mut objects: HashMap<String, ObjectAnswer> = HashMap::with_capacity(answer.objects.len());
    for mut object in answer.objects {
        let id = object.id.take().ok_or_else(|| shape("an object of the batch has no id"))?.text();
        objects.insert(id, object);
    }
    Ok(asked
        .iter()
        .map(|key| match objects.remove(&key.id) {
            Some(object) => take(key, object.object_type.as_deref(), object.revision.as_ref(), object.body, max_bytes),
            None if missing.contains(&key.id) => Err(not_found(key)),
            None => Err(shape("the batch names the object neither in `objects` nor in `missing`")),
        })
        .collect())
}

/// The object is not at the source.
pub(super) fn not_found(key: &ObjectKey) -> ResolveError {
    ResolveError::rejected(Problem::new("source.not_found", format!("the source has no {key}")).status(404))
}

/// The object is larger than the source's document allows.
pub(super) fn too_large(key: &ObjectKey, max_bytes: u64) -> ResolveError {
    ResolveError::rejected(Problem::new(
        "source.too_large",
        format!("the body of {key} is larger than {max_bytes} bytes (raise `max_object_bytes` of the source)"),
    ))
}

fn take(
    key: &ObjectKey,
    object_type: Option<&str>,
    revision: Option<&Revision>,
    body: Option<Box<RawValue>>,
    max_bytes: u64,
) -> Result<Resolved, ResolveError> {
    if object_type.is_some_and(|t| t != key.object_type) {
        return Err(shape("it answered for another type"));
    }
    let body = body.ok_or_else(|| shape("`body` is missing"))?;
    if body.get().len() as u64 > max_bytes {
        return Err(too_large(key, max_bytes));
    }
    if !body.get().starts_with('{') {
        return Err(shape("`body` is not a JSON object"));
    }
    Ok(Resolved { body: String::from(Box::<str>::from(body)), revision: revision.and_then(Revision::number) })
}

fn shape(what: &str) -> ResolveError {
    ResolveError::rejected(Problem::new("source.unexpected_answer", format!("the source's answer is not of the documented shape: {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_strictly() {
        let key = ObjectKey::new("product", "1");
        let good = one(&key, br#"{"id":"1","type":"product","revision":7,"body":{"a":1}}"#, 100).unwrap();
        assert_eq!(good, Resolved { body: r#"{"a":1}"#.into(), revision: Some(7) });
        let stamped = one(&key, br#"{"id":1,"revision":"2026-01-01T00:00:00Z","body":{}}"#, 100).unwrap();
        assert_eq!(stamped.revision, Some(1_767_225_600_000));
        for bad in [
            "{}",
            "[]",
            r#"{"id":"2","body":{}}"#,
            r#"{"id":"1","type":"offer","body":{}}"#,
            r#"{"id":"1","body":null}"#,
            r#"{"id":"1","body":"x"}"#,
            "<html>",
        ] {
            assert!(
                matches!(one(&key, bad.as_bytes(), 100), Err(ResolveError::Rejected(p)) if p.code == "source.unexpected_answer"),
                "{bad}"
            );
        }
        assert!(
            matches!(one(&key, br#"{"id":"1","body":{"a":"0123456789"}}"#, 10), Err(ResolveError::Rejected(p)) if p.code == "source.too_large")
        );
    }

    #[test]
    fn a_batch_answers_for_each_object() {
        let asked: Vec<_> = ["1", "2", "3"].map(|id| ObjectKey::new("product", id)).into();
        let answers = batch(&asked, br#"{"objects":[{"id":"3","body":{}}],"missing":["2"]}"#, 100).unwrap();
        assert!(matches!(&answers[0], Err(ResolveError::Rejected(p)) if p.code == "source.unexpected_answer"));
        assert!(matches!(&answers[1], Err(ResolveError::Rejected(p)) if p.code == "source.not_found"));
        assert!(answers[2].is_ok());
        assert!(batch(&asked, b"{}", 100).is_err());
    }
}
