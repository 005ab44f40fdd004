//! Finds the items of a bulk request in a body that arrives in pieces.
//!
//! Memory does not grow with the body: it holds at most one bounded item and the current piece. The
//! splitter only knows where an item begins and ends, and whether the frame around the items is
//! JSON; `submission.rs` reads the items.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::BYTE_ORDER_MARK;
use crate::api::http::json_pointer;
use crate::api::http::problem::{ApiError, FieldError};

/// How the items are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `{"defaults":{…},"jobs":[{…},…]}`, with `defaults` first.
    Json,
    /// One job per line; the first line can be `{"defaults":{…}}`.
    Lines,
}

/// A part of the body, as raw JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The fields of every job that does not have its own value.
    Defaults(Vec<u8>),
    Item(Vec<u8>),
}

/// Why the body cannot be split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// The frame is not as expected.
    Malformed(FieldError),
    /// One item is larger than the bound.
    ItemTooLarge { pointer: String },
    /// The body ends in the middle.
    CutOff { pointer: String },
}

impl From<SplitError> for ApiError {
    fn from(error: SplitError) -> Self {
        match error {
            SplitError::Malformed(error) => Self::malformed(error),
            SplitError::ItemTooLarge { pointer } => Self::TooLarge(format!(
                "{pointer}: the item is too large (bound `api.max_item_bytes`)"
            )),
            SplitError::CutOff { pointer } if pointer.is_empty() => {
                Self::CutOff("the JSON ends early".to_owned())
            }
            SplitError::CutOff { pointer } => {
                Self::CutOff(format!("the JSON ends early, in {pointer}"))
            }
        }
    }
}

#[derive(Debug)]
pub struct Splitter {
    framing: Framing,
    max_item_bytes: usize,
    at: Place,
    /// Bytes of a byte order mark read so far; `None`: it has ended, or there is none.
    mark: Option<usize>,
    scan: Scan,
    current: Vec<u8>,
    items: u64,
    seen_defaults: bool,
    seen_jobs: bool,
}

/// Where in the frame the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    FirstKey,
    Key,
    InKey { escaped: bool },
    Colon,
    Value,
    InDefaults,
    FirstItem,
    NextItem,
    InItem,
    AfterItem,
    AfterMember,
    End,
}

impl Splitter {
    pub fn new(framing: Framing, max_item_bytes: u64) -> Self {
        Self {
            framing,
            max_item_bytes: usize::try_from(max_item_bytes).unwrap_or(usize::MAX),
            at: Place::Start,
            mark: Some(0),
            scan: Scan::default(),
            current: Vec::new(),
            items: 0,
            seen_defaults: false,
            seen_jobs: false,
        }
    }

    /// Takes the next bytes and appends the pieces that are complete. Errors: the frame is
    /// malformed, or an item is too large. The splitter is unusable after that.
    pub fn feed(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), SplitError> {
        let bytes = self.behind_mark(bytes)?;
        match self.framing {
            Framing::Json => self.feed_json(bytes, pieces),
            Framing::Lines => self.feed_lines(bytes, pieces),
        }
    }

    /// Ends the body. Errors: the body is incomplete.
    pub fn finish(&mut self, pieces: &mut Vec<Piece>) -> Result<(), SplitError> {
        match self.framing {
            Framing::Json if self.at == Place::End => Ok(()),
            Framing::Json => Err(SplitError::CutOff {
                pointer: self.pointer(),
            }),
            Framing::Lines => self.end_line(pieces),
        }
    }

    /// Skips a byte order mark at the beginning of the body, which can arrive in pieces.
    fn behind_mark<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8], SplitError> {
        while let (Some(at), Some(first)) = (self.mark, bytes.first()) {
            if BYTE_ORDER_MARK.get(at) == Some(first) {
                self.mark = Some(at + 1);
                bytes = &bytes[1..];
            } else if at == 0 || at == BYTE_ORDER_MARK.len() {
                self.mark = None;
            } else {
                return Err(self.unexpected(Place::Start, BYTE_ORDER_MARK[0]));
            }
        }
        Ok(bytes)
    }

    fn feed_lines(&mut self, mut bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), SplitError> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.keep(&bytes[..end])?;
            self.end_line(pieces)?;
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes)
    }

    fn end_line(&mut self, pieces: &mut Vec<Piece>) -> Result<(), SplitError> {
        let line = std::mem::take(&mut self.current);
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let first = self.items == 0 && !self.seen_defaults;
        if first && is_defaults_line(&line) {
            self.seen_defaults = true;
            let defaults: DefaultsLine =
                json_pointer::read(&line).map_err(SplitError::Malformed)?;
            pieces.push(Piece::Defaults(defaults.defaults.get().as_bytes().to_vec()));
        } else {
            self.items += 1;
            pieces.push(Piece::Item(line));
        }
        Ok(())
    }

    fn feed_json(&mut self, mut bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), SplitError> {
        while let Some(&byte) = bytes.first() {
            match self.at {
                Place::InDefaults | Place::InItem => {
                    let (length, ended) = self.scan.take(bytes);
                    self.keep(&bytes[..length])?;
                    bytes = &bytes[length..];
                    if ended {
                        self.end_value(pieces);
                    }
                    continue;
                }
                Place::InKey { escaped } => self.key_byte(byte, escaped)?,
                _ if byte.is_ascii_whitespace() => {}
                _ => {
                    // The first byte of a value belongs to the value.
                    if self.begin_anything(byte)? {
                        continue;
                    }
                    self.punctuation(byte)?;
                }
            }
            bytes = &bytes[1..];
        }
        Ok(())
    }

    /// Moves over a byte of the frame.
    fn punctuation(&mut self, byte: u8) -> Result<(), SplitError> {
        self.at = match (self.at, byte) {
            (Place::Start, b'{') => Place::FirstKey,
            (Place::FirstKey | Place::Key, b'"') => {
                self.current.clear();
                Place::InKey { escaped: false }
            }
            (Place::FirstKey | Place::AfterMember, b'}') => self.end_of_frame()?,
            (Place::Colon, b':') => Place::Value,
            (Place::Value, b'[') => Place::FirstItem,
            (Place::FirstItem | Place::AfterItem, b']') => Place::AfterMember,
            (Place::AfterItem, b',') => Place::NextItem,
            (Place::AfterMember, b',') => Place::Key,
            (place, byte) => return Err(self.unexpected(place, byte)),
        };
        Ok(())
    }

    fn end_of_frame(&self) -> Result<Place, SplitError> {
        if self.seen_jobs {
            Ok(Place::End)
        } else {
            Err(SplitError::Malformed(FieldError::new(
                "/jobs",
                "required",
                "missing field `jobs`",
            )))
        }
    }

    fn key_byte(&mut self, byte: u8, escaped: bool) -> Result<(), SplitError> {
        if byte == b'"' && !escaped {
            self.at = Place::Colon;
            return self.check_key();
        }
        self.keep(&[byte])?;
        self.at = Place::InKey {
            escaped: byte == b'\\' && !escaped,
        };
        Ok(())
    }

    /// Decides by the current key which value is allowed.
    fn check_key(&self) -> Result<(), SplitError> {
        let problem = match (self.current.as_slice(), self.seen_defaults, self.seen_jobs) {
            (b"defaults", false, false) | (b"jobs", _, false) => return Ok(()),
            (b"defaults", false, true) => FieldError::new(
                "/defaults",
                "invalid_order",
                "`defaults` must come before `jobs`, because the body is read as a stream",
            ),
            (b"defaults", true, _) => {
                FieldError::new("/defaults", "duplicate_field", "duplicate field `defaults`")
            }
            (b"jobs", _, true) => {
                FieldError::new("/jobs", "duplicate_field", "duplicate field `jobs`")
            }
            (other, ..) => {
                let name = String::from_utf8_lossy(other).into_owned();
                let detail = format!("unknown field `{name}`, expected `defaults` or `jobs`");
                FieldError::new(
                    format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                    "unknown_field",
                    detail,
                )
            }
        };
        Err(SplitError::Malformed(problem))
    }

    /// True if a value begins with the byte.
    fn begin_anything(&mut self, byte: u8) -> Result<bool, SplitError> {
        match self.at {
            Place::Value => self.begin_value(byte),
            Place::FirstItem | Place::NextItem => self.begin_item(byte),
            _ => Ok(false),
        }
    }

    /// True if the byte begins the value of `defaults`. The value of `jobs` begins with `[`, a part
    /// of the frame.
    fn begin_value(&mut self, byte: u8) -> Result<bool, SplitError> {
        if self.current == b"jobs" {
            self.seen_jobs = true;
            if byte == b'[' {
                return Ok(false);
            }
            return Err(SplitError::Malformed(FieldError::new(
                "/jobs",
                "wrong_type",
                "expected a list of jobs",
            )));
        }
        self.seen_defaults = true;
        if byte != b'{' {
            return Err(SplitError::Malformed(FieldError::new(
                "/defaults",
                "wrong_type",
                "expected an object",
            )));
        }
        self.begin(Place::InDefaults);
        Ok(true)
    }

    fn begin_item(&mut self, byte: u8) -> Result<bool, SplitError> {
        match byte {
            b'{' => {
                self.begin(Place::InItem);
                Ok(true)
            }
            b']' if self.at == Place::FirstItem => Ok(false),
            b'"' | b'[' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => Err(SplitError::Malformed(
                FieldError::new(self.pointer(), "wrong_type", "expected an object"),
            )),
            _ => Ok(false),
        }
    }

    fn begin(&mut self, place: Place) {
        self.at = place;
        self.current.clear();
        self.scan = Scan::default();
    }

    fn end_value(&mut self, pieces: &mut Vec<Piece>) {
        let value = std::mem::take(&mut self.current);
        if self.at == Place::InItem {
            self.items += 1;
            self.at = Place::AfterItem;
            pieces.push(Piece::Item(value));
        } else {
            self.at = Place::AfterMember;
            pieces.push(Piece::Defaults(value));
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        if self.current.len() + bytes.len() > self.max_item_bytes {
            return Err(SplitError::ItemTooLarge {
                pointer: self.pointer(),
            });
        }
        self.current.extend_from_slice(bytes);
        Ok(())
    }

    /// The current place.
    fn pointer(&self) -> String {
        match (self.framing, self.at) {
            (Framing::Lines, _)
            | (_, Place::FirstItem | Place::NextItem | Place::InItem | Place::AfterItem) => {
                format!("/jobs/{}", self.items)
            }
            (_, Place::InDefaults) => "/defaults".to_owned(),
            _ => String::new(),
        }
    }

    fn unexpected(&self, place: Place, byte: u8) -> SplitError {
        let expected = match place {
            Place::Start => "an object with `defaults` and `jobs`",
            Place::FirstKey | Place::Key | Place::InKey { .. } => "`\"defaults\"` or `\"jobs\"`",
            Place::Colon => "`:`",
            Place::Value
            | Place::InDefaults
            | Place::FirstItem
            | Place::NextItem
            | Place::InItem => "an object",
            Place::AfterItem => "`,` or `]`",
            Place::AfterMember => "`,` or `}`",
            Place::End => "nothing after the closing brace",
        };
        let detail = format!(
            "found `{}`, expected {expected}",
            char::from(byte).escape_default()
        );
        SplitError::Malformed(FieldError::new(self.pointer(), "malformed_json", detail))
    }
}

/// Finds the end of an object. Brackets nest, except in strings.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// The number of bytes that belong to the object, and whether it ends with them.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
            } else if self.in_string {
                let Some(step) = bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\')) else {
                    return (bytes.len(), false);
                };
                at += step + 1;
                self.escaped = bytes[at - 1] == b'\\';
                self.in_string = self.escaped;
            } else {
                let Some(step) = bytes[at..]
                    .iter()
                    .position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']'))
                else {
                    return (bytes.len(), false);
                };
                at += step + 1;
                match bytes[at - 1] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    _ => self.depth = self.depth.saturating_sub(1),
                }
                if self.depth == 0 && !self.in_string {
                    return (at, true);
                }
            }
        }
        (at, false)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefaultsLine<'a> {
    #[serde(borrow)]
    defaults: &'a RawValue,
}

/// Whether a line is an object whose first key is `defaults`, which no job has.
fn is_defaults_line(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    text.strip_prefix(b"{")
        .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"defaults\""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
