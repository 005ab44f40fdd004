//! Address ranges of `allow_addresses`.

use ipnet::IpNet;

use super::Issue;

/// Refuses a range with host bits: `127.0.0.1/8` reads like one address and is a whole network.
pub(super) fn allow_addresses(ranges: &[IpNet]) -> Vec<Issue> {
    let issue = |(index, range): (usize, &IpNet)| {
        if range.addr() == range.network() {
            return None;
        }
        let detail = format!(
            "`{range}` is an address and a network at once; did you mean {} or {}?",
            IpNet::from(range.addr()),
            range.trunc()
        );
        Some(Issue::new(
            format!("/allow_addresses/{index}"),
            "address.ambiguous",
            detail,
        ))
    };
    ranges.iter().enumerate().filter_map(issue).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn range_with_host_bits_is_refused_with_a_hint() {
        let ranges = ["127.0.0.1/32", "127.0.0.1/8", "10.0.0.0/8", "fd00::1/8"];
        let found = allow_addresses(&ranges.map(|text| text.parse().unwrap()));
        let found: Vec<_> = found
            .iter()
            .map(|issue| (issue.pointer.as_str(), issue.detail.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "/allow_addresses/1",
                    "`127.0.0.1/8` is an address and a network at once; did you mean \
                     127.0.0.1/32 or 127.0.0.0/8?"
                ),
                (
                    "/allow_addresses/3",
                    "`fd00::1/8` is an address and a network at once; did you mean fd00::1/128 or \
                     fd00::/8?"
                ),
            ]
        );
    }
}
