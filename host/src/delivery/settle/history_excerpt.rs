//! Which exchanges and log lines of a call each of its items keeps in its history.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::gate::exchange::Exchange;
use crate::runtime::{LogLevel, LogLine};

/// The newest exchanges of a call that each of its items keeps.
const EXCHANGES_PER_ITEM: usize = 4;
/// The least that an item keeps of the lines about its whole call, in bytes.
const LEAST_SHARED_BYTES: usize = 1024;

/// The lines of a call that one of its `items` keeps: all of its own (none: the call had no items),
/// and the last ones about the whole call, within the item's share, so that many items do not write
/// the same lines. Lines that are left out are counted.
pub fn kept_lines(lines: &[LogLine], own: Option<u32>, items: u32) -> Vec<Cow<'_, LogLine>> {
    let shared: usize = lines
        .iter()
        .filter(|line| line.item.is_none())
        .map(bytes)
        .sum();
    let mut left = (shared / items.max(1) as usize).max(LEAST_SHARED_BYTES);
    let mut left_out = 0;
    let mut kept = Vec::new();
    for line in lines
        .iter()
        .rev()
        .filter(|line| line.item.is_none() || line.item == own)
    {
        if line.item.is_some() {
            kept.push(Cow::Borrowed(line));
        } else if left == 0 {
            left_out += 1;
        } else if let Some(rest) = left.checked_sub(bytes(line)) {
            left = rest;
            kept.push(Cow::Borrowed(line));
        } else {
            let message = line.message[..line.message.floor_char_boundary(left)].to_owned();
            kept.push(Cow::Owned(LogLine {
                message,
                attrs: Vec::new(),
                ..line.clone()
            }));
            left = 0;
        }
    }
    if left_out > 0 {
        let message = format!("… {left_out} lines about the whole call left out");
        kept.push(Cow::Owned(LogLine {
            level: LogLevel::Warn,
            message,
            item: None,
            attrs: Vec::new(),
        }));
    }
    kept.reverse();
    kept
}

fn bytes(line: &LogLine) -> usize {
    line.message.len()
        + line
            .attrs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>()
}

/// The newest exchanges of a call that belong to an item: those with its idempotency key, and those
/// without the key of another item of the call.
pub fn exchanges_of<'a>(
    exchanges: &'a [Exchange],
    own: &str,
    keys: &HashSet<String>,
) -> impl Iterator<Item = &'a Exchange> {
    let of_item = |exchange: &&Exchange| {
        exchange
            .idempotency_key
            .as_deref()
            .is_none_or(|key| key == own || !keys.contains(key))
    };
    let mut newest: Vec<&Exchange> = exchanges
        .iter()
        .rev()
        .filter(of_item)
        .take(EXCHANGES_PER_ITEM)
        .collect();
    newest.reverse();
    newest.into_iter()
}

/// The newest exchanges of a call, whichever item they belong to.
pub fn newest(exchanges: &[Exchange]) -> &[Exchange] {
    &exchanges[exchanges.len().saturating_sub(EXCHANGES_PER_ITEM)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(item: Option<u32>, message: &str) -> LogLine {
        LogLine {
            level: LogLevel::Info,
            message: message.to_owned(),
            item,
            attrs: Vec::new(),
        }
    }

    fn messages(lines: &[LogLine], index: u32, items: u32) -> Vec<String> {
        kept_lines(lines, Some(index), items)
            .into_iter()
            .map(|line| line.into_owned().message)
            .collect()
    }

    #[test]
    fn single_item_keeps_all_lines_and_none_of_other_items() {
        let lines = [
            line(None, &"a".repeat(4000)),
            line(Some(1), "other"),
            line(Some(0), "own"),
            line(None, "end"),
        ];
        assert_eq!(messages(&lines, 0, 1), [&"a".repeat(4000), "own", "end"]);
    }

    #[test]
    fn items_share_the_lines_about_their_call_and_keep_their_own() {
        let mut lines: Vec<LogLine> = (0..100).map(|i| line(None, &format!("{i:0600}"))).collect();
        lines.insert(0, line(Some(7), &"own".repeat(1000)));
        for (items, most) in [(2, 30_000), (10, 6000), (5000, 1024)] {
            let kept = messages(&lines, 7, items);
            assert_eq!(kept[1], "own".repeat(1000), "its own are all there");
            assert_eq!(
                kept[0],
                format!("… {} lines about the whole call left out", 102 - kept.len())
            );
            let shared: usize = kept[2..].iter().map(String::len).sum();
            assert_eq!(shared, most, "{items} items");
            assert_eq!(
                kept.last().map(String::as_str),
                Some(format!("{:0600}", 99).as_str()),
                "the newest count"
            );
        }
    }
}
