//! Positions in a TOML text: from a JSON pointer to line and column, and back.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A position in a text. Line and column begin at 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The position of a byte of the text.
pub(crate) fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

/// The position of the value that a pointer refers to, or of the nearest value around it that the
/// text contains.
pub(crate) fn locate(text: &str, pointer: &str) -> Position {
    let Ok(root) = DeTable::parse(text) else {
        return position(text, 0);
    };
    let mut found: Range<usize> = 0..0;
    let mut segments = pointer
        .split('/')
        .skip(1)
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"));
    let Some((mut value, span)) = segments
        .next()
        .and_then(|name| entry(root.get_ref(), &name))
    else {
        return position(text, 0);
    };
    found.clone_from(&span);
    for segment in segments {
        let next = match value {
            DeValue::Table(table) => entry(table, &segment),
            DeValue::Array(array) => segment
                .parse()
                .ok()
                .and_then(|index: usize| array.get(index))
                .map(|item| (item.get_ref(), item.span())),
            _ => None,
        };
        let Some((inner, span)) = next else { break };
        value = inner;
        found = span;
    }
    position(text, found.start)
}

/// The pointer of the value at a byte of the text; empty for the whole document.
pub(crate) fn pointer_at(text: &str, byte: usize) -> String {
    let Ok(root) = DeTable::parse(text) else {
        return String::new();
    };
    let segments = path_in_table(root.get_ref(), byte).unwrap_or_default();
    segments
        .iter()
        .rev()
        .map(|segment| format!("/{}", segment.replace('~', "~0").replace('/', "~1")))
        .collect()
}

/// The names and indexes of the path to a byte, the innermost first.
fn path_in_table(table: &DeTable<'_>, byte: usize) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let inside = if key.span().contains(&byte) {
            Some(Vec::new())
        } else {
            path_in(value, byte)
        };
        inside.map(|path| with(path, key.get_ref().to_string()))
    })
}

fn path_in(value: &Spanned<DeValue<'_>>, byte: usize) -> Option<Vec<String>> {
    let inner = match value.get_ref() {
        DeValue::Table(table) => path_in_table(table, byte),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, item)| {
            path_in(item, byte).map(|path| with(path, index.to_string()))
        }),
        _ => None,
    };
    // A table's span covers only its header; its entries have their own spans.
    inner.or_else(|| value.span().contains(&byte).then(Vec::new))
}

fn with(mut path: Vec<String>, outer: String) -> Vec<String> {
    path.push(outer);
    path
}

/// The value of a name, with the position of the name.
fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<(&'a DeValue<'i>, Range<usize>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((value.get_ref(), key.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ä\n[server]\nlisten = \"x\"\n\n[[channels]]\nname = \"a\"\n\
        [[channels]]\nname = \"b\"\nlimits = [\n  { kind = \"window\", max = 0 },\n]\n";

    #[test]
    fn pointer_leads_to_the_name() {
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

    #[test]
    fn position_leads_to_the_pointer() {
        let at = |written: &str| pointer_at(TEXT, TEXT.rfind(written).unwrap_or(0));
        assert_eq!(at("listen"), "/server/listen");
        assert_eq!(at("\"b\""), "/channels/1/name");
        assert_eq!(at("\"window\""), "/channels/1/limits/0/kind");
        assert_eq!(at("{ kind"), "/channels/1/limits/0");
        assert_eq!(at("[\n"), "/channels/1/limits");
        assert_eq!(at("# "), "");
        assert_eq!(pointer_at("no toml", 1), "");
    }
}
