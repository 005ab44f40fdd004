//! Turns the line and column of a serde error into a JSON pointer.

use super::problem::FieldError;
use crate::documents::structs_from_objects;

/// The place of the error in a JSON text, and what was expected there.
pub fn field_error(text: &[u8], error: &serde_json::Error) -> FieldError {
    let sentence = error.to_string();
    let detail = sentence
        .rfind(" at line ")
        .map_or(sentence.as_str(), |at| &sentence[..at]);
    let code = match error.classify() {
        serde_json::error::Category::Data => data_code(detail),
        _ => "malformed_json",
    };
    let mut end = end_of(text, error.line(), error.column());
    // The parser has not read a list or an object that it did not expect.
    let unread =
        detail.starts_with("invalid type: sequence") || detail.starts_with("invalid type: map");
    if unread && matches!(text.get(end), Some(b'[' | b'{')) {
        end += 1;
    }
    FieldError::new(pointer(text, end), code, detail)
}

/// Reads a JSON object. The error names the place and the expectation.
pub fn read<'a, T: serde::Deserialize<'a>>(text: &'a [u8]) -> Result<T, FieldError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read =
        structs_from_objects::by_name(&mut json).and_then(|value| json.end().map(|()| value));
    read.map_err(|error| match field_error(text, &error) {
        // The parser names the type that it reads into, which means nothing to a client.
        wrong
            if wrong.code == "wrong_type"
                && OBJECTS.iter().any(|words| wrong.detail.contains(words)) =>
        {
            FieldError {
                detail: "expected an object".to_owned(),
                ..wrong
            }
        }
        wrong => wrong,
    })
}

/// How the parser names a type of ours that it reads from an object.
const OBJECTS: [&str; 4] = [
    "expected struct ",
    "expected internally tagged enum ",
    "expected a map",
    "expected map",
];

fn data_code(detail: &str) -> &'static str {
    const KINDS: [(&str, &str); 5] = [
        ("unknown field", "unknown_field"),
        ("missing field", "required"),
        ("duplicate field", "duplicate_field"),
        ("unknown variant", "invalid_value"),
        ("invalid value", "invalid_value"),
    ];
    KINDS
        .iter()
        .find(|(start, _)| detail.starts_with(start))
        .map_or("wrong_type", |(_, code)| code)
}

/// A container that is open at the place of the error.
enum Frame {
    Object {
        key: Option<String>,
        expects_key: bool,
    },
    Array {
        index: usize,
        begun: bool,
    },
}

/// The byte after a line and column as serde_json counts them: both from 1, in bytes.
fn end_of(text: &[u8], line: usize, column: usize) -> usize {
    let start = if line <= 1 {
        0
    } else {
        text.iter()
            .enumerate()
            .filter(|(_, b)| **b == b'\n')
            .nth(line - 2)
            .map_or(text.len(), |(i, _)| i + 1)
    };
    (start + column).min(text.len())
}

/// The JSON pointer of the value or key that ends before a byte, or begins with the byte before it.
fn pointer(text: &[u8], end: usize) -> String {
    let mut stack: Vec<Frame> = Vec::new();
    let mut at = 0;
    while at < end {
        let byte = text[at];
        if let Some(Frame::Array { begun, .. }) = stack.last_mut()
            && !byte.is_ascii_whitespace()
            && byte != b']'
        {
            *begun = true;
        }
        match byte {
            b'"' => {
                let close = end_of_string(text, at, end);
                if let Some(Frame::Object {
                    key,
                    expects_key: expects_key @ true,
                }) = stack.last_mut()
                {
                    *key = Some(
                        serde_json::from_slice(&text[at..close]).unwrap_or_else(|_| {
                            String::from_utf8_lossy(&text[at + 1..close]).into_owned()
                        }),
                    );
                    *expects_key = false;
                }
                at = close;
                continue;
            }
            b'{' => stack.push(Frame::Object {
                key: None,
                expects_key: true,
            }),
            b'[' => stack.push(Frame::Array {
                index: 0,
                begun: false,
            }),
            b'}' | b']' => {
                stack.pop();
            }
            b',' => match stack.last_mut() {
                Some(Frame::Object { key, expects_key }) => (*key, *expects_key) = (None, true),
                Some(Frame::Array { index, .. }) => *index += 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    render(&stack)
}

/// The index after a string's closing quote, at most `end`.
fn end_of_string(text: &[u8], start: usize, end: usize) -> usize {
    let mut at = start + 1;
    while at < end {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    end
}

fn render(stack: &[Frame]) -> String {
    let mut pointer = String::new();
    for frame in stack {
        match frame {
            Frame::Object { key: Some(key), .. } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Frame::Array { index, begun: true } => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Frame::Object { .. } | Frame::Array { .. } => {}
        }
    }
    pointer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        name: String,
        #[serde(default)]
        ids: Vec<String>,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        count: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        flag: bool,
        #[serde(default)]
        word: Option<Word>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Yes,
    }

    fn wrong(text: &str) -> (String, String, String) {
        let error = read::<Sample>(text.as_bytes()).unwrap_err();
        (error.pointer, error.code, error.detail)
    }

    #[test]
    fn json_pointer_leads_to_the_wrong_value() {
        for (text, pointer, code) in [
            (r#"{"name": 5}"#, "/name", "wrong_type"),
            (r#"{"name": true, "ids": []}"#, "/name", "wrong_type"),
            (r#"{"name": {"a": 1}}"#, "/name", "wrong_type"),
            (r#"{"name": ["x"]}"#, "/name", "wrong_type"),
            (r#"{"name": null}"#, "/name", "wrong_type"),
            (r#"{"name": "a", "ids": ["x", 4]}"#, "/ids/1", "wrong_type"),
            (r#"{"name": "a", "ids": [4711]}"#, "/ids/0", "wrong_type"),
            (r#"{"name": "a", "ids": "x"}"#, "/ids", "wrong_type"),
            (
                r#"{"name": "a", "ids": [{"x": 1}]}"#,
                "/ids/0",
                "wrong_type",
            ),
            (r#"{"name": "a", "ids": [ ["x"]]}"#, "/ids/0", "wrong_type"),
            (r#"{"name": "a", "idz": ["x"]}"#, "/idz", "unknown_field"),
            (r#"{"name": "a", "a/b~c": 1}"#, "/a~1b~0c", "unknown_field"),
            (
                r#"{"name": "a", "inner": {"flag": "no"}}"#,
                "/inner/flag",
                "wrong_type",
            ),
            (
                r#"{"name": "a", "inner": {"flag": true, "more": 1}}"#,
                "/inner/more",
                "unknown_field",
            ),
            (
                r#"{"name": "a", "inner": {"flag": true, "word": "no"}}"#,
                "/inner/word",
                "invalid_value",
            ),
            (
                r#"{"name": "a", "inner": {}, "count": 1}"#,
                "/inner",
                "required",
            ),
            (
                r#"{"name": "a", "inner": [true, "yes"]}"#,
                "/inner",
                "wrong_type",
            ),
            (r#"{"name": "a", "inner": 7}"#, "/inner", "wrong_type"),
            (r#"{"name": "a", "count": -1}"#, "/count", "invalid_value"),
            (r#"{"name": "a", "name": "b"}"#, "/name", "duplicate_field"),
            (r#"{"ids": []}"#, "", "required"),
            ("[1]", "", "wrong_type"),
            (r#"["a", []]"#, "", "wrong_type"),
            ("", "", "malformed_json"),
            (r#"{"name": "a" "ids": []}"#, "/name", "malformed_json"),
            (r#"{"name": "a", "ids": ["x""#, "/ids/0", "malformed_json"),
        ] {
            let (found, found_code, detail) = wrong(text);
            assert_eq!(
                (found.as_str(), found_code.as_str()),
                (pointer, code),
                "{text}: {detail}"
            );
            assert!(!detail.contains("at line"), "{detail}");
        }
    }

    #[test]
    fn json_pointer_counts_lines() {
        let (pointer, _, detail) =
            wrong("{\n  \"name\": \"a\\\"\",\n  \"ids\": [\n    \"x\",\n    7\n  ]\n}");
        assert_eq!(pointer, "/ids/1");
        assert!(detail.contains("expected a string"), "{detail}");
    }
}
