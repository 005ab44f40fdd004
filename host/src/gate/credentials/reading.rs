//! The ways to read a text in which a destination may return a secret: plain, or with the escapes
//! of URLs, forms, JSON or HTML. What a reading does not escape stands for itself.

/// A reading for the whole of a secret. They differ only at the [`ESCAPES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Plain,
    /// `%2F` (RFC 3986, 2.1).
    Percent,
    /// The same, and `+` for a space.
    Form,
    /// `\n`, `\/` and `\u002f` (RFC 8259, 7).
    Json,
    /// `&amp;`, `&#47;` and `&#x2f;`.
    Html,
}

pub const READINGS: [Reading; 5] = [
    Reading::Plain,
    Reading::Percent,
    Reading::Form,
    Reading::Json,
    Reading::Html,
];

/// The bytes that start an escape in some reading.
pub const ESCAPES: [u8; 4] = *b"%+\\&";

/// The longest escape of one byte: `&#x00002f;`.
pub const MAX_UNIT_BYTES: usize = 10;

/// The named characters of HTML that escape functions produce.
const NAMED: [(&[u8], u8); 5] = [
    (b"amp;", b'&'),
    (b"lt;", b'<'),
    (b"gt;", b'>'),
    (b"quot;", b'"'),
    (b"apos;", b'\''),
];

/// A byte, or an escape and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    text: [u8; 4],
    text_bytes: usize,
    /// The bytes of the escape.
    pub length: usize,
}

impl Unit {
    /// What the unit stands for; at least one byte.
    pub fn bytes(&self) -> &[u8] {
        &self.text[..self.text_bytes]
    }

    const fn byte(byte: u8, length: usize) -> Self {
        Self {
            text: [byte, 0, 0, 0],
            text_bytes: 1,
            length,
        }
    }

    fn character(code: u32, length: usize) -> Option<Self> {
        let mut text = [0; 4];
        let text_bytes = char::from_u32(code)?.encode_utf8(&mut text).len();
        Some(Self {
            text,
            text_bytes,
            length,
        })
    }
}

impl Reading {
    /// The unit that a text starts with; none at its end.
    pub fn next(self, text: &[u8]) -> Option<Unit> {
        let (&first, rest) = text.split_first()?;
        let escape = match (self, first) {
            (Self::Percent | Self::Form, b'%') => digits(rest, 2, 16)
                .and_then(|code| u8::try_from(code).ok())
                .map(|byte| Unit::byte(byte, 3)),
            (Self::Form, b'+') => Some(Unit::byte(b' ', 1)),
            (Self::Json, b'\\') => json(rest),
            (Self::Html, b'&') => html(rest),
            _ => None,
        };
        Some(escape.unwrap_or(Unit::byte(first, 1)))
    }
}

/// The text after a backslash.
fn json(text: &[u8]) -> Option<Unit> {
    let byte = match text.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'u' => return json_code(&text[1..]),
        byte @ (b'"' | b'\\' | b'/') => *byte,
        _ => return None,
    };
    Some(Unit::byte(byte, 2))
}

/// The text after `\u`: one code unit of UTF-16, or two.
fn json_code(text: &[u8]) -> Option<Unit> {
    let first = digits(text, 4, 16)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Unit::character(first, 6);
    }
    let second = digits(text.get(4..)?.strip_prefix(b"\\u")?, 4, 16)?;
    let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
    Unit::character(0x10000 + ((first - 0xD800) << 10) + low, 12)
}

/// The text after `&`.
fn html(text: &[u8]) -> Option<Unit> {
    let named = NAMED.iter().find(|(name, _)| text.starts_with(name));
    if let Some((name, byte)) = named {
        return Some(Unit::byte(*byte, 1 + name.len()));
    }
    let code = text.strip_prefix(b"#")?;
    let (code, radix) = match code.first()? {
        b'x' | b'X' => (&code[1..], 16),
        _ => (code, 10),
    };
    let count = code.iter().take(MAX_UNIT_BYTES).position(|b| *b == b';')?;
    let length = text.len() - code.len() + count + 2;
    if length > MAX_UNIT_BYTES {
        return None;
    }
    Unit::character(digits(code, count, radix)?, length)
}

/// The number that the first `count` bytes write.
fn digits(text: &[u8], count: usize, radix: u32) -> Option<u32> {
    let digits = text.get(..count).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u32, |number, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reading: Reading, text: &str) -> String {
        let mut rest = text.as_bytes();
        let mut whole = Vec::new();
        while let Some(unit) = reading.next(rest) {
            assert!(unit.length <= unit.bytes().len() * MAX_UNIT_BYTES, "{text}");
            whole.extend_from_slice(unit.bytes());
            rest = &rest[unit.length..];
        }
        String::from_utf8_lossy(&whole).into_owned()
    }

    #[test]
    fn reading_decodes_its_escapes_and_keeps_everything_else() {
        for (reading, text, expected) in [
            (Reading::Plain, "%2F+\\/&amp;", "%2F+\\/&amp;"),
            (Reading::Percent, "a%2F%2f/+%", "a///+%"),
            (Reading::Percent, "%C3%A9%zz", "\u{e9}%zz"),
            (Reading::Form, "a+b%20c", "a b c"),
            (Reading::Json, r#"\"\\\/\n\u002F\u00e9"#, "\"\\/\n/\u{e9}"),
            (Reading::Json, r"\ud83d\ude00", "\u{1f600}"),
            (Reading::Json, r"\ud83d \x \u00", r"\ud83d \x \u00"),
            (Reading::Html, "&amp;&lt;&gt;&quot;&apos;", "&<>\"'"),
            (
                Reading::Html,
                "&#47;&#x2f;&#X00002F;&#128512;",
                "///\u{1f600}",
            ),
            (
                Reading::Html,
                "&#x000002f;&# &#;&#x;&",
                "&#x000002f;&# &#;&#x;&",
            ),
        ] {
            assert_eq!(read(reading, text), expected, "{reading:?} {text}");
        }
    }
}
