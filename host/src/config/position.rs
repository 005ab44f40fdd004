//! Places in a TOML text: where a JSON pointer leads to, as line and column.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A place in a text, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The place of a byte of the text.
pub(super) fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

/// The place that a pointer leads to, or of the nearest thing around it that is written in the text.
pub(super) fn locate(text: &str, pointer: &str) -> Position {
    let Ok(root) = DeTable::parse(text) else { return position(text, 0) };
    let mut found: Range<usize> = 0..0;
    let mut segments = pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"));
    let Some((mut value, span)) = segments.next().and_then(|name| entry(root.get_ref(), &name)) else { return position(text, 0) };
    found.clone_from(&span);
    for segment in segments {
        let next = match value {
            DeValue::Table(table) => entry(table, &segment),
            DeValue::Array(array) => {
                segment.parse().ok().and_then(|index: usize| array.get(index)).map(|item| (item.get_ref(), item.span()))
            }
            _ => None,
        };
        let Some((inner, span)) = next else { break };
        value = inner;
        found = span;
    }
    position(text, found.start)
}

/// The value of a name; its place is that of the name, where a person looks first.
fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<(&'a DeValue<'i>, Range<usize>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((value.get_ref(), key.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ä\n[server]\nlisten = \"x\"\n\n[[channels]]\nname = \"a\"\n[[channels]]\nname = \"b\"\nlimits = [\n  { kind = \"window\", max = 0 },\n]\n";

    #[test]
    fn pointers_lead_to_names() {
        let at = |pointer| {
            let Position { line, column } = locate(TEXT, pointer);
            (line, column)
        };
        assert_eq!(at("/server/listen"), (3, 1));
        assert_eq!(at("/channels/1/name"), (8, 1));
        assert_eq!(at("/channels/1/limits/0/max"), (10, 22));
        assert_eq!(at("/channels/1/limits/0/window_ms"), (10, 3));
        assert_eq!(at("/channels/0"), (5, 1));
        assert_eq!(at("/nowhere"), (1, 1));
    }
}
