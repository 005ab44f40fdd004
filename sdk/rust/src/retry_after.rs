//! Parses `Retry-After` (RFC 9110, section 10.2.3): seconds, or an HTTP date.

/// The wait in milliseconds, at most `u64::MAX`. The wait until a date counts from `date`, the
/// response's own `Date` header, so that the clocks of both sides need not agree; without it, from
/// now. A date in the past is 0.
pub(crate) fn parse_retry_after_ms(value: &str, date: Option<&str>) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let sent = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
    let wait = until
        .duration_since(sent.unwrap_or_else(now))
        .unwrap_or_default();
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[allow(
    clippy::disallowed_methods,
    reason = "a component has no other clock, and its host bounds the wait"
)]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(parse_retry_after_ms(" 3 ", None), Some(3_000));
        assert_eq!(parse_retry_after_ms("soon", None), None);
        assert_eq!(parse_retry_after_ms("-1", None), None);
        assert_eq!(parse_retry_after_ms("", None), None);
        for huge in ["99999999999999999999999999", "18446744073709551615"] {
            assert_eq!(parse_retry_after_ms(huge, None), Some(u64::MAX), "{huge}");
        }
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
        let from_now = |value| parse_retry_after_ms(value, None).unwrap();
        assert_eq!(from_now("Sun, 06 Nov 1994 08:50:07 GMT"), 0);
        assert!(from_now("Fri, 31 Dec 9999 23:59:59 GMT") > 365 * 86_400_000);
    }
}
