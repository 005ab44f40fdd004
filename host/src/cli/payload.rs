//! Detects the format of a submission's file.
//!
//! The name decides, or else the beginning of the text. Only a single job is read as a whole.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::exit::CommandError;

/// The length of the beginning that is inspected.
pub(super) const PREFIX_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Bulk,
    Lines,
    /// One job, possibly over several lines.
    Single,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) format: Format,
    /// The file is compressed and is sent unchanged.
    pub(super) gzip: bool,
}

impl Format {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Bulk | Self::Single => "application/json",
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// Detects the format of a file from its name and its beginning. `whole`: the prefix is the whole
/// file.
pub(super) fn detect(name: &Path, prefix: &[u8], whole: bool) -> Result<Payload, CommandError> {
    let file_name = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    let gzip = prefix.starts_with(&[0x1f, 0x8b]);
    let stem = file_name.strip_suffix(".gz").unwrap_or(&file_name);
    let format = if stem.ends_with(".ndjson") || stem.ends_with(".jsonl") {
        Format::Lines
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
        text_format(&text, whole)
    };
    if format == Format::Single && gzip {
        return Err(CommandError::Usage(
            "a single job cannot be sent compressed; submit it as plain JSON or as a line of NDJSON"
                .to_owned(),
        ));
    }
    Ok(Payload { format, gzip })
}

/// A single JSON object without `jobs` and `defaults` is a single job. A first line that is a
/// complete object without `jobs`, with more text after it, is a line of NDJSON. Anything else is a
/// bulk request; the host reports its errors. A byte order mark is ignored, as on the host.
fn text_format(text: &[u8], whole: bool) -> Format {
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
        return Format::Single;
    }
    let line_end = text.iter().position(|byte| *byte == b'\n');
    let first = line_end
        .map(|end| &text[..end])
        .or_else(|| whole.then_some(text));
    if first.is_some_and(|first| object(first).is_some()) {
        Format::Lines
    } else {
        Format::Bulk
    }
}

/// Decompresses the beginning of a text. A truncated stream gives the text that it contains.
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

    fn format_of(name: &str, text: &str, whole: bool) -> Format {
        detect(Path::new(name), text.as_bytes(), whole)
            .unwrap()
            .format
    }

    #[test]
    fn format_is_detected() {
        let job = r#"{"subscription":"acme","object_ids":["1"]}"#;
        let bulk = r#"{"defaults":{},"jobs":[{}]}"#;
        assert_eq!(format_of("-", bulk, true), Format::Bulk);
        assert_eq!(
            format_of("-", &format!("{job}\n{job}\n"), true),
            Format::Lines
        );
        assert_eq!(format_of("jobs.json", job, true), Format::Single);
        assert_eq!(
            format_of("jobs.json", &format!("\u{feff}{job}\n"), true),
            Format::Single
        );
        assert_eq!(
            format_of("jobs.json", &format!("\u{feff}{job}\n{job}\n"), true),
            Format::Lines
        );
        assert_eq!(format_of("jobs.ndjson", job, true), Format::Lines);
        assert_eq!(
            format_of("jobs.json", "{\n \"subscription\": \"acme\"\n}\n", true),
            Format::Single
        );
        assert_eq!(
            format_of("jobs.json", "{\n \"jobs\": [", false),
            Format::Bulk
        );
        assert_eq!(format_of("jobs.ndjson", bulk, true), Format::Lines);
        assert_eq!(format_of("jobs.json", "nonsense", true), Format::Bulk);
        assert_eq!(
            format_of("-", &format!("{{\"defaults\":{{}}}}\n{job}"), false),
            Format::Lines
        );
    }

    #[test]
    fn compressed_file_is_sent_unchanged() {
        let packed = |text: &str| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let lines = packed("{\"subscription\":\"acme\"}\n{}\n");
        assert_eq!(
            detect(Path::new("a.gz"), &lines, true).unwrap(),
            Payload {
                format: Format::Lines,
                gzip: true
            }
        );
        assert_eq!(
            detect(Path::new("a.json.gz"), &packed("{\"jobs\":[]}"), true).unwrap(),
            Payload {
                format: Format::Bulk,
                gzip: true
            }
        );
        assert!(detect(Path::new("a.gz"), &packed("{\n\"a\":1}"), true).is_err());
        assert_eq!(
            detect(Path::new("a.ndjson.gz"), &lines[..12], false).unwrap(),
            Payload {
                format: Format::Lines,
                gzip: true
            }
        );
    }
}
