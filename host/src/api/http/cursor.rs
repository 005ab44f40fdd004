//! Opaque cursors of lists: where the last page ended, in a form that only the host reads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::ApiError;

/// The list that a cursor belongs to; a cursor of another list is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Executions,
    Jobs,
    Objects,
    Events,
}

impl List {
    const fn letter(self) -> char {
        match self {
            Self::Executions => 'x',
            Self::Jobs => 'j',
            Self::Objects => 'o',
            Self::Events => 'e',
        }
    }
}

/// The cursor of a position in a list.
#[must_use]
pub fn write(list: List, position: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}{position}", list.letter()))
}

/// The position of a cursor.
///
/// # Errors
/// [`ApiError::Invalid`] when it is not a cursor of this list.
pub fn read(list: List, cursor: &str) -> Result<i64, ApiError> {
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(list.letter())?.parse().ok())
        .ok_or_else(|| {
            ApiError::parameter(
                "cursor",
                "invalid_value",
                "expected a cursor as given in `next` of the same list",
            )
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_foreign_ones_do_not() {
        assert_eq!(
            read(List::Jobs, &write(List::Jobs, 1 << 40)).unwrap(),
            1 << 40
        );
        assert!(read(List::Jobs, &write(List::Executions, 7)).is_err());
        for nonsense in ["", "%", "abc", "ajEyMw=="] {
            assert!(read(List::Jobs, nonsense).is_err(), "{nonsense}");
        }
    }
}
