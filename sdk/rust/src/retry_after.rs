//! The values of `Retry-After` (RFC 9110, section 10.2.3): seconds, or an HTTP date.

/// The wait in milliseconds. A date is measured against `date`, the answer's own `Date` header, so
/// that the two clocks need not agree; without one, or in an obsolete format, it says nothing. A
/// date that has passed is 0.
pub(crate) fn parse_retry_after_ms(value: &str, date: Option<&str>) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return seconds.checked_mul(1_000);
    }
    let until = imf_fixdate_seconds(value)?;
    let now = imf_fixdate_seconds(date?.trim())?;
    u64::try_from((until - now).max(0)).ok()?.checked_mul(1_000)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
fn imf_fixdate_seconds(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let month_name = parts.next()?;
    let month = 1 + i64::try_from(MONTHS.iter().position(|name| *name == month_name)?).ok()?;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':');
    let hour: i64 = clock.next()?.parse().ok()?;
    let minute: i64 = clock.next()?.parse().ok()?;
    let second: i64 = clock.next()?.parse().ok()?;
    let in_range = (1..=31).contains(&day) && (1970..=9999).contains(&year);
    let clock_in_range = (0..24).contains(&hour) && (0..60).contains(&minute);
    if !in_range || !clock_in_range || !(0..=60).contains(&second) || parts.next()? != "GMT" {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Howard Hinnant's `days_from_civil` (<https://howardhinnant.github.io/date_algorithms.html>), for
/// years from 1970.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_as_they_are() {
        assert_eq!(parse_retry_after_ms(" 3 ", None), Some(3_000));
        assert_eq!(parse_retry_after_ms("soon", None), None);
        assert_eq!(parse_retry_after_ms("-1", None), None);
    }

    #[test]
    fn a_date_counts_from_the_answers_own_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            parse_retry_after_ms("Sun, 06 Nov 1994 08:50:07 GMT", date),
            Some(30_000)
        );
        assert_eq!(
            parse_retry_after_ms("Sun, 06 Nov 1994 08:00:00 GMT", date),
            Some(0)
        );
        assert_eq!(
            parse_retry_after_ms("Sun, 06 Nov 1994 08:50:07 GMT", None),
            None
        );
    }

    #[test]
    fn dates_become_seconds() {
        assert_eq!(
            imf_fixdate_seconds("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(
            imf_fixdate_seconds("Thu, 29 Feb 2024 00:00:00 GMT"),
            Some(1_709_164_800)
        );
        assert_eq!(imf_fixdate_seconds("Thu, 29 Feb 2024 25:00:00 GMT"), None);
    }
}
