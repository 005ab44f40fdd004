//! The two kinds of time. Durations and limits run on the monotonic clock ([`Mono`]); what users
//! see and what the store keeps is wall time ([`Wall`]). A wall clock that steps back reopens no
//! limit.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Serialize};

/// The Unix epoch in UTC.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// A reading of a monotonic clock, in microseconds since an origin that is fixed for the life of
/// the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The largest instant; stands for 'never' in comparisons.
    pub const FAR: Self = Self(u64::MAX);

    /// `self + ms`, saturating.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    pub const fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// `self - ms`, not before the origin.
    pub const fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms.saturating_mul(1000)))
    }

    /// Microseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from `earlier` to `self`, rounded down; 0 if `earlier` is later.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.since_us(earlier) / 1000
    }
}

/// An instant of wall time in milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Wall(pub i64);

impl Wall {
    /// `self + ms`, saturating.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative if `earlier` is later.
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds, as in every answer of the API.
    pub fn to_rfc3339(self) -> String {
        EPOCH
            .checked_add(SignedDuration::from_millis(self.0))
            .map_or_else(|_| self.0.to_string(), |utc| format!("{utc:.3}Z"))
    }

    /// Parses RFC 3339 with any offset, from year 0000 to 9999 in UTC. `jiff::Timestamp` would end
    /// a day earlier, to leave room for any offset.
    ///
    /// # Errors
    /// When the text is not an RFC 3339 instant in these years.
    pub fn parse_rfc3339(text: &str) -> Result<Self, jiff::Error> {
        let wrong = || jiff::Error::from_args(format_args!("not a time with an offset"));
        let pieces = Pieces::parse(text)?;
        let offset = pieces.to_numeric_offset().ok_or_else(wrong)?;
        let local = pieces.date().to_datetime(pieces.time().ok_or_else(wrong)?);
        let utc = local.checked_sub(SignedDuration::from_secs(offset.seconds().into()))?;
        if pieces.time_zone_annotation().is_some() || utc.year() < 0 {
            return Err(wrong());
        }
        i64::try_from(utc.duration_since(EPOCH).as_nanos().div_euclid(1_000_000))
            .map(Self)
            .map_err(|_| wrong())
    }
}

/// How wall time relates to the monotonic clock at present: what to add to a monotonic reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallOffset {
    us: i64,
}

impl WallOffset {
    /// From a reading of both clocks at one moment.
    pub const fn of(mono: Mono, wall: Wall) -> Self {
        Self {
            us: wall.0.saturating_mul(1000).saturating_sub(signed(mono.0)),
        }
    }

    /// The wall time of a monotonic reading, in microseconds since the Unix epoch.
    pub const fn wall_us(self, at: Mono) -> i64 {
        signed(at.0).saturating_add(self.us)
    }

    /// The monotonic reading of a wall time in microseconds since the Unix epoch; the clock's
    /// origin if it lies before that.
    pub const fn mono_of_us(self, wall_us: i64) -> Mono {
        let us = wall_us.saturating_sub(self.us);
        Mono(if us < 0 { 0 } else { us.unsigned_abs() })
    }

    /// How far two relations are apart, in milliseconds, rounded down.
    pub const fn differs_ms(self, other: Self) -> u64 {
        self.us.abs_diff(other.us) / 1000
    }
}

#[expect(clippy::cast_possible_wrap, reason = "checked against the largest")]
const fn signed(us: u64) -> i64 {
    if us > i64::MAX as u64 {
        i64::MAX
    } else {
        us as i64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_covers_the_years_of_rfc3339() {
        for (text, shown) in [
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.9995Z", "1969-12-31T23:59:59.999Z"),
            ("1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00.000Z"),
            ("2026-11-21t08:00:00.25z", "2026-11-21T08:00:00.250Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59+23:00", "9999-12-31T00:59:59.000Z"),
        ] {
            let wall = Wall::parse_rfc3339(text).unwrap();
            assert_eq!(wall.to_rfc3339(), shown, "{text}");
            assert_eq!(Wall::parse_rfc3339(shown).unwrap(), wall, "{text}");
        }
        for text in [
            "tomorrow",
            "2026-11-21",
            "2026-11-21T08:00:00",
            "2026-11-21T08:00:00+01:00[Europe/Berlin]",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
            "-000001-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert!(Wall::parse_rfc3339(text).is_err(), "{text}");
        }
    }
}
