//! A submission's file: which form it has, and how it travels.
//!
//! The form is told from the name, else from the beginning of the text, and nothing is read as a
//! whole but a single job.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::exit::CommandError;

/// The beginning of a file that is looked at.
pub(super) const PREFIX_BYTES: usize = 64 * 1024;

/// What some editors write before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The form of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Bulk,
    Lines,
    /// One job, over several lines perhaps.
    Single,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Travel {
    pub(super) form: Form,
    /// It is compressed and travels as it is.
    pub(super) gzip: bool,
}

impl Form {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Bulk | Self::Single => "application/json",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// How a file of this name that begins like this travels. `whole`: the prefix is the whole file.
pub(super) fn travel(name: &Path, prefix: &[u8], whole: bool) -> Result<Travel, CommandError> {
    let file_name = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    let gzip = prefix.starts_with(&[0x1f, 0x8b]);
    let stem = file_name.strip_suffix(".gz").unwrap_or(&file_name);
    let form = if stem.ends_with(".ndjson") || stem.ends_with(".jsonl") {
        Form::Lines
    } else {
        let text = if gzip {
            unpacked(prefix)
        } else {
            prefix.to_vec()
        };
        let whole = if gzip {
            text.len() < PREFIX_BYTES && whole
        } else {
            whole
        };
        form(&text, whole)
    };
    if form == Form::Single && gzip {
        return Err(CommandError::Usage(
            "a single job is not sent compressed; submit it as plain JSON or as a line of NDJSON"
                .to_owned(),
        ));
    }
    Ok(Travel { form, gzip })
}

/// A text that is one JSON object without `jobs` and `defaults` is a single job, whether it has one
/// line or several. A first line that is a whole object without `jobs`, with more behind it, is a
/// line of NDJSON; anything else is a bulk request, and the host says what is wrong with it. A byte
/// order mark says nothing: the host leaves it out, too.
fn form(text: &[u8], whole: bool) -> Form {
    let object = |text: &[u8]| {
        serde_json::from_slice::<Value>(text)
            .ok()
            .filter(|value| value.is_object() && value.get("jobs").is_none())
    };
    let text = text
        .strip_prefix(BYTE_ORDER_MARK)
        .unwrap_or(text)
        .trim_ascii_start();
    if whole && object(text).is_some_and(|job| job.get("defaults").is_none()) {
        return Form::Single;
    }
    let line_end = text.iter().position(|byte| *byte == b'\n');
    let first = line_end
        .map(|end| &text[..end])
        .or_else(|| whole.then_some(text));
    if first.is_some_and(|first| object(first).is_some()) {
        Form::Lines
    } else {
        Form::Bulk
    }
}

/// The beginning of a compressed text. A stream that is cut off gives what it holds.
fn unpacked(prefix: &[u8]) -> Vec<u8> {
    let mut text = vec![0; PREFIX_BYTES];
    let mut filled = 0;
    let mut decoder = flate2::read::GzDecoder::new(prefix);
    while let Ok(read @ 1..) = decoder.read(&mut text[filled..]) {
        filled += read;
    }
    text.truncate(filled);
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    fn form_of(name: &str, text: &str, whole: bool) -> Form {
        travel(Path::new(name), text.as_bytes(), whole)
            .unwrap()
            .form
    }

    #[test]
    fn forms_are_told_apart() {
        let job = r#"{"subscription":"acme","object_ids":["1"]}"#;
        let bulk = r#"{"defaults":{},"jobs":[{}]}"#;
        assert_eq!(form_of("-", bulk, true), Form::Bulk);
        assert_eq!(form_of("-", &format!("{job}\n{job}\n"), true), Form::Lines);
        assert_eq!(form_of("jobs.json", job, true), Form::Single);
        assert_eq!(
            form_of("jobs.json", &format!("\u{feff}{job}\n"), true),
            Form::Single
        );
        assert_eq!(
            form_of("jobs.json", &format!("\u{feff}{job}\n{job}\n"), true),
            Form::Lines
        );
        assert_eq!(form_of("jobs.ndjson", job, true), Form::Lines);
        assert_eq!(
            form_of("jobs.json", "{\n \"subscription\": \"acme\"\n}\n", true),
            Form::Single
        );
        assert_eq!(form_of("jobs.json", "{\n \"jobs\": [", false), Form::Bulk);
        assert_eq!(form_of("jobs.ndjson", bulk, true), Form::Lines);
        assert_eq!(form_of("jobs.json", "nonsense", true), Form::Bulk);
        assert_eq!(
            form_of("-", &format!("{{\"defaults\":{{}}}}\n{job}"), false),
            Form::Lines
        );
    }

    #[test]
    fn compressed_files_travel_as_they_are() {
        let packed = |text: &str| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let lines = packed("{\"subscription\":\"acme\"}\n{}\n");
        assert_eq!(
            travel(Path::new("a.gz"), &lines, true).unwrap(),
            Travel {
                form: Form::Lines,
                gzip: true
            }
        );
        assert_eq!(
            travel(Path::new("a.json.gz"), &packed("{\"jobs\":[]}"), true).unwrap(),
            Travel {
                form: Form::Bulk,
                gzip: true
            }
        );
        assert!(travel(Path::new("a.gz"), &packed("{\n\"a\":1}"), true).is_err());
        assert_eq!(
            travel(Path::new("a.ndjson.gz"), &lines[..12], false).unwrap(),
            Travel {
                form: Form::Lines,
                gzip: true
            }
        );
    }
}
