//! Rust source without comments, strings and test items, and comments and strings on their own.
//!
//! The scanner knows nested block comments, raw strings, and the difference between a character
//! and a lifetime. It expects source that compiles.

/// The kinds of text in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// The code of a file. Comments and literals become blanks; line breaks stay.
pub fn without_text(source: &str) -> String {
    let kinds = kinds(source);
    let blanked = source.char_indices().map(|(at, char)| {
        if char == '\n' || kinds[at] == Kind::Code {
            char
        } else {
            ' '
        }
    });
    blanked.collect()
}

/// The code of a file as [`without_text`], also without the items under `#[cfg(test)]`.
pub fn product_code(source: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let code = without_text(source);
    let mut product = String::with_capacity(code.len());
    let mut rest = code.as_str();
    while let Some((before, after)) = rest.split_once(MARK) {
        product.push_str(before);
        rest = &after[item_length(after)..];
    }
    product.push_str(rest);
    product
}

/// The length of the first item, attributes included: up to its `;` or its closing brace.
fn item_length(code: &str) -> usize {
    let mut depth = 0_i32;
    for (at, char) in code.char_indices() {
        match char {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                // The group of a `use` ends with a `;` that follows.
                if depth <= 0 && !code[at + 1..].trim_start().starts_with(';') {
                    return at + 1;
                }
            }
            ';' if depth <= 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The comments and literals of a file: each run of lines as one text without comment marks.
pub fn prose(source: &str) -> Vec<String> {
    let kinds = kinds(source);
    let mut texts = vec![String::new()];
    let mut last = Kind::Code;
    for line in source.split_inclusive('\n') {
        let start = line.as_ptr() as usize - source.as_ptr() as usize;
        for (at, char) in line.char_indices() {
            let kind = kinds[start + at];
            if kind != Kind::Code || char.is_whitespace() && last != Kind::Code {
                texts
                    .last_mut()
                    .into_iter()
                    .for_each(|text| text.push(char));
            } else if last != Kind::Code {
                texts.push(String::new());
            }
            if !char.is_whitespace() || kind != Kind::Code {
                last = kind;
            }
        }
    }
    let unmarked = texts.iter().map(|text| {
        let lines = text.lines().map(|line| {
            let line = line.trim().trim_end_matches('\\');
            line.trim_start_matches('/').trim_start_matches('!').trim()
        });
        lines.collect::<Vec<_>>().join(" ")
    });
    unmarked.filter(|text| !text.trim().is_empty()).collect()
}

/// The kind of each byte.
fn kinds(source: &str) -> Vec<Kind> {
    let bytes = source.as_bytes();
    let mut kinds = vec![Kind::Code; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let (length, kind) = token(bytes, at);
        kinds[at..at + length].fill(kind);
        at += length;
    }
    kinds
}

/// The length and the kind of the token that begins here.
fn token(bytes: &[u8], at: usize) -> (usize, Kind) {
    let rest = &bytes[at..];
    let to_end = |length: usize| length.min(rest.len());
    let in_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => {
            let length = rest.iter().position(|byte| *byte == b'\n');
            (length.unwrap_or(rest.len()), Kind::Comment)
        }
        [b'/', b'*', ..] => (block_comment(rest), Kind::Comment),
        [b'r', b'"' | b'#', ..] if !in_word => match raw_string(rest) {
            Some(length) => (to_end(length), Kind::Literal),
            None => (1, Kind::Code),
        },
        [b'b', b'r', b'"' | b'#', ..] if !in_word => match raw_string(&rest[1..]) {
            Some(length) => (to_end(length + 1), Kind::Literal),
            None => (1, Kind::Code),
        },
        [b'"', ..] => (to_end(string(rest)), Kind::Literal),
        [b'\'', b'\\', ..] => {
            let end = rest[3..].iter().position(|byte| *byte == b'\'');
            (to_end(end.map_or(1, |end| end + 4)), Kind::Literal)
        }
        [b'\'', ..] => match character(rest) {
            Some(length) => (length, Kind::Literal),
            None => (1, Kind::Code),
        },
        _ => (1, Kind::Code),
    }
}

/// The length of a character literal; none for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    let first = std::str::from_utf8(&rest[1..rest.len().min(5)]);
    let width = match first {
        Ok(text) => text.chars().next()?.len_utf8(),
        Err(error) => {
            let valid = std::str::from_utf8(&rest[1..1 + error.valid_up_to()]).ok()?;
            valid.chars().next()?.len_utf8()
        }
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => {
                depth -= 1;
                if depth == 0 {
                    return at + 2;
                }
            }
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    rest.len()
}

/// The length of a raw string that begins with `r`; none for a raw identifier.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let body = 2 + hashes;
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let length = rest[body..].windows(end.len()).position(|part| part == end);
    Some(length.map_or(rest.len(), |length| body + length + end.len()))
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Whether the byte can be part of an identifier.
pub const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[test]
fn comments_and_literals_become_blanks() {
    let source = "a /* b /* c */ */ d // e\n\"f\\\"\" 'g' '\\n' 'x: r#\"h\"# i";
    let code = without_text(source);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>(),
        ["a", "d", "'x:", "i"]
    );
    assert_eq!(code.len(), source.len());
}

#[test]
fn test_items_are_no_product_code() {
    let source = "use a::B;\n#[cfg(test)]\nuse c::{D};\nfn e() {}\n\
                  #[cfg(test)]\n#[allow(x)]\nmod tests { fn f() { } }\nfn g() {}\n\
                  #[cfg(test)]\nmod more;\nfn h() {}";
    let code = product_code(source);
    for kept in ["use a::B", "fn e", "fn g", "fn h"] {
        assert!(code.contains(kept), "{kept} in {code}");
    }
    for cut in ["c::", "fn f", "more"] {
        assert!(!code.contains(cut), "{cut} in {code}");
    }
}

#[test]
fn prose_joins_the_lines_of_a_comment() {
    let texts = prose("/// One rule,\n/// two lines.\nfn a() { b(\"a \\\n  text\"); }");
    assert_eq!(texts, ["One rule, two lines.", "\"a text\""]);
}
