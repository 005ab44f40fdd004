//! Opaque cursors of lists: where the last page ended, in a form that only the host reads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::ApiError;

/// The list that a cursor belongs to. Another list refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Executions,
    Jobs,
    Objects,
    Events,
    Connectors,
}

impl List {
    const fn letter(self) -> char {
        match self {
            Self::Executions => 'x',
            Self::Jobs => 'j',
            Self::Objects => 'o',
            Self::Events => 'e',
            Self::Connectors => 'c',
        }
    }

    pub fn cursor(self, position: i64) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{position}", self.letter()))
    }

    /// The cursor of the next page. `None`: this page is the last.
    pub fn next<T>(self, rows: &[T], limit: u32, position: fn(&T) -> i64) -> Option<String> {
        let last = rows.last().filter(|_| rows.len() == limit as usize)?;
        Some(self.cursor(position(last)))
    }

    /// The position of a cursor. Errors: [`ApiError::Invalid`] if it is not a cursor of this list.
    pub fn position(self, cursor: &str) -> Result<i64, ApiError> {
        self.name(cursor)
            .ok()
            .and_then(|position| position.parse().ok())
            .ok_or_else(foreign)
    }

    /// The cursor of a list in the order of names.
    pub fn named_cursor(self, name: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{name}", self.letter()))
    }

    /// The name in a cursor of such a list. Errors: [`ApiError::Invalid`] if it is not a cursor of
    /// this list.
    pub fn name(self, cursor: &str) -> Result<String, ApiError> {
        URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| Some(text.strip_prefix(self.letter())?.to_owned()))
            .ok_or_else(foreign)
    }
}

fn foreign() -> ApiError {
    ApiError::parameter(
        "cursor",
        "invalid_value",
        "expected a cursor from `next` of the same list",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_read_by_its_own_list_only() {
        let cursor = List::Jobs.cursor(1 << 40);
        assert_eq!(List::Jobs.position(&cursor).unwrap(), 1 << 40);
        assert!(List::Jobs.position(&List::Executions.cursor(7)).is_err());
        for nonsense in ["", "%", "abc", "ajEyMw=="] {
            assert!(List::Jobs.position(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn next_page_exists_only_after_a_full_page() {
        let next = |rows: &[i64]| List::Jobs.next(rows, 2, |row| *row);
        assert_eq!(next(&[1, 2]), Some(List::Jobs.cursor(2)));
        assert_eq!(next(&[1]), None);
    }
}
