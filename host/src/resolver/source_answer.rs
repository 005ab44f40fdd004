//! Parses the answers of a Metadata API strictly: one object, or a batch.

use std::collections::{HashMap, HashSet};

use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::{ReadResult, ResolveError, Resolved};

/// An object as it came. Each member is parsed separately, so that an odd one spoils no other.
#[derive(Deserialize)]
struct ObjectAnswer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    object_type: Option<&'a RawValue>,
    #[serde(borrow)]
    revision: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BatchAnswer<'a> {
    #[serde(borrow)]
    objects: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    missing: Vec<&'a RawValue>,
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
}

/// An id is a string, or a number that stands for one.
fn id_of(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        Id::Text(text) => Some(text),
        Id::Number(number) => Some(number.to_string()),
    }
}

impl Revision {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok().or_else(|| {
                Wall::parse_rfc3339(text)
                    .ok()
                    .and_then(|w| u64::try_from(w.0).ok())
            }),
        }
    }
}

/// Parses the answer to a read of one object. Errors: the source's failure, if the answer is no
/// object at all.
pub fn one(asked: &ObjectKey, bytes: &[u8], max_bytes: u64) -> Result<ReadResult, Box<Problem>> {
    let answer: ObjectAnswer<'_> =
        serde_json::from_slice(bytes).map_err(|e| no_answer(&e.to_string()))?;
    if answer.id.is_none() && answer.body.is_none() {
        return Err(no_answer("it has neither `id` nor `body`"));
    }
    if answer
        .id
        .is_some_and(|id| id_of(id).as_ref() != Some(&asked.id))
    {
        return Ok(Err(shape("it answered for another id")));
    }
    Ok(take(asked, &answer, max_bytes))
}

/// Parses the answer to a batch read, for each object asked. If it names an object neither as there
/// nor as missing, the answer has the wrong shape for that object only. Errors: the source's
/// failure, if the answer is no batch at all.
pub fn batch(
    asked: &[ObjectKey],
    bytes: &[u8],
    max_bytes: u64,
) -> Result<Vec<ReadResult>, Box<Problem>> {
    let answer: BatchAnswer<'_> =
        serde_json::from_slice(bytes).map_err(|e| no_answer(&e.to_string()))?;
    let missing: HashSet<String> = answer.missing.into_iter().filter_map(id_of).collect();
    let mut objects: HashMap<String, ObjectAnswer<'_>> =
        HashMap::with_capacity(answer.objects.len());
    for raw in answer.objects {
        // An object without an id is none that was asked for.
        if let Ok(object) = serde_json::from_str::<ObjectAnswer<'_>>(raw.get())
            && let Some(id) = object.id.and_then(id_of)
        {
            objects.insert(id, object);
        }
    }
    Ok(asked
        .iter()
        .map(|key| match objects.get(&key.id) {
            Some(object) => take(key, object, max_bytes),
            None if missing.contains(&key.id) => Err(not_found(key)),
            None => Err(shape(
                "the batch names the object neither in `objects` nor in `missing`",
            )),
        })
        .collect())
}

/// The object is not at the source.
pub fn not_found(key: &ObjectKey) -> ResolveError {
    ResolveError::rejected(
        Problem::new("source.not_found", format!("the source has no {key}")).status(404),
    )
}

/// The object is larger than the source's document allows.
pub fn too_large(key: &ObjectKey, max_bytes: u64) -> ResolveError {
    ResolveError::rejected(Problem::new(
        "source.too_large",
        format!(
            "the body of {key} is larger than {max_bytes} bytes (setting `max_object_bytes` of the \
             source)"
        ),
    ))
}

fn take(key: &ObjectKey, answer: &ObjectAnswer<'_>, max_bytes: u64) -> ReadResult {
    if answer
        .object_type
        .is_some_and(|raw| id_of(raw).as_ref() != Some(&key.object_type))
    {
        return Err(shape("it answered for another type"));
    }
    let body = answer.body.ok_or_else(|| shape("`body` is missing"))?.get();
    if body.len() as u64 > max_bytes {
        return Err(too_large(key, max_bytes));
    }
    if !body.starts_with('{') {
        return Err(shape("`body` is not a JSON object"));
    }
    let revision = answer
        .revision
        .and_then(|raw| serde_json::from_str::<Revision>(raw.get()).ok());
    Ok(Resolved {
        body: body.to_owned(),
        revision: revision.and_then(|revision| revision.number()),
    })
}

/// Whether this begins as a JSON object and is broken further on.
pub fn is_broken_object(bytes: &[u8]) -> bool {
    let begun = bytes.trim_ascii_start().starts_with(b"{");
    begun
        && std::str::from_utf8(bytes).map_or(true, |text| {
            serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
        })
}

/// The answer is none to a read; perhaps another page in place of the source.
fn no_answer(what: &str) -> Box<Problem> {
    Box::new(Problem::new(
        "source.no_answer",
        format!("the source answered 200, but not with the answer to a read: {what}"),
    ))
}

fn shape(what: &str) -> ResolveError {
    ResolveError::rejected(Problem::new(
        "source.unexpected_answer",
        format!("the source's answer does not have the documented shape: {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why the job is rejected.
    fn code(result: &ReadResult) -> Option<&str> {
        match result {
            Err(ResolveError::Rejected(problem)) => Some(&problem.code),
            _ => None,
        }
    }

    #[test]
    fn answer_is_parsed_strictly() {
        let key = ObjectKey::new("product", "1");
        let good = one(
            &key,
            br#"{"id":"1","type":"product","revision":7,"body":{"a":1}}"#,
            100,
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            good,
            Resolved {
                body: r#"{"a":1}"#.into(),
                revision: Some(7)
            }
        );
        let stamped = one(
            &key,
            br#"{"id":1,"revision":"2026-01-01T00:00:00Z","body":{}}"#,
            100,
        )
        .unwrap()
        .unwrap();
        assert_eq!(stamped.revision, Some(1_767_225_600_000));
        for odd in [
            r#"{"id":"2","body":{}}"#,
            r#"{"id":["1"],"body":{}}"#,
            r#"{"id":"1","type":"offer","body":{}}"#,
            r#"{"id":"1","body":null}"#,
            r#"{"id":"1","body":"x"}"#,
        ] {
            let answer = one(&key, odd.as_bytes(), 100).unwrap();
            assert_eq!(code(&answer), Some("source.unexpected_answer"), "{odd}");
        }
        for none in ["{}", r#"{"hello":"world"}"#, "[]", "<html>", ""] {
            assert_eq!(
                one(&key, none.as_bytes(), 100).unwrap_err().code,
                "source.no_answer",
                "{none}"
            );
        }
        let large = one(&key, br#"{"id":"1","body":{"a":"0123456789"}}"#, 10).unwrap();
        assert_eq!(code(&large), Some("source.too_large"));
    }

    #[test]
    fn broken_object_differs_from_a_page_in_its_place() {
        let not_text = [
            br#"{"objects":[{"id":"1","body":{"a":""#.as_slice(),
            b"\xff",
            br#""}}]}"#,
        ]
        .concat();
        for broken in [
            br#"{"id":"1","body":{"a":NaN}}"#.as_slice(),
            b" {\"id\":\"1\"",
            &not_text,
        ] {
            assert!(
                is_broken_object(broken),
                "{}",
                String::from_utf8_lossy(broken)
            );
        }
        for whole in [
            b"<html>".as_slice(),
            b"",
            b"[1",
            b"{}",
            br#"{"error":"soon"}"#,
        ] {
            assert!(
                !is_broken_object(whole),
                "{}",
                String::from_utf8_lossy(whole)
            );
        }
    }

    #[test]
    fn batch_answers_for_each_object() {
        let asked: Vec<_> = ["1", "2", "3"]
            .map(|id| ObjectKey::new("product", id))
            .into();
        let answers = batch(
            &asked,
            br#"{"objects":[{"id":"3","body":{}}],"missing":["2"]}"#,
            100,
        )
        .unwrap();
        assert_eq!(code(&answers[0]), Some("source.unexpected_answer"));
        assert_eq!(code(&answers[1]), Some("source.not_found"));
        assert!(answers[2].is_ok());
        for none in ["{}", "<html>", r#"{"objects":"soon"}"#] {
            assert_eq!(
                batch(&asked, none.as_bytes(), 100).unwrap_err().code,
                "source.no_answer",
                "{none}"
            );
        }
    }

    #[test]
    fn odd_object_of_a_batch_spoils_no_other() {
        let asked: Vec<_> = ["1", "2", "3"]
            .map(|id| ObjectKey::new("product", id))
            .into();
        for odd in [
            r#"{"body":{}}"#,
            r#"{"id":"2","type":7,"body":{}}"#,
            r#"{"id":{},"body":{}}"#,
            "7",
            "null",
        ] {
            let text = format!(
                r#"{{"objects":[{{"id":"1","body":{{}}}},{odd},{{"id":"3","body":{{}}}}],
                    "missing":[{{}}]}}"#
            );
            let answers = batch(&asked, text.as_bytes(), 100).unwrap();
            assert!(answers[0].is_ok() && answers[2].is_ok(), "{odd}");
            assert_eq!(code(&answers[1]), Some("source.unexpected_answer"), "{odd}");
        }
    }
}
