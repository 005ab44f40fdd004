//! Parses `Retry-After` (RFC 9110, section 10.2.3): seconds, or an HTTP date.

/// The wait in milliseconds. The wait until a date counts from `date`, the response's own `Date`
/// header, so that the clocks of both sides need not agree; without it, a date is ignored. A date
/// in the past is 0.
pub(crate) fn parse_retry_after_ms(value: &str, date: Option<&str>) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return seconds.checked_mul(1_000);
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    let wait = until.duration_since(now).unwrap_or_default();
    u64::try_from(wait.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(parse_retry_after_ms(" 3 ", None), Some(3_000));
        assert_eq!(parse_retry_after_ms("soon", None), None);
        assert_eq!(parse_retry_after_ms("-1", None), None);
    }

    #[test]
    fn retry_after_as_a_date_counts_from_the_response_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (value, wait_ms) in [
            ("Sun, 06 Nov 1994 08:50:07 GMT", 30_000),
            ("Sunday, 06-Nov-94 08:50:07 GMT", 30_000),
            ("Sun Nov  6 08:50:07 1994", 30_000),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 00:00:00 GMT", 925_053_023_000),
        ] {
            assert_eq!(parse_retry_after_ms(value, date), Some(wait_ms), "{value}");
        }
        for value in ["Sun, 06 Nov 1994 25:00:00 GMT", "Sun, 06 Nov 1994"] {
            assert_eq!(parse_retry_after_ms(value, date), None, "{value}");
        }
        assert_eq!(
            parse_retry_after_ms("Sun, 06 Nov 1994 08:50:07 GMT", None),
            None
        );
    }
}
