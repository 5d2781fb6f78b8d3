//! What a relayed candidate says about us besides the relay.
//!
//! Pure. `raddr` and `rport` name our own address (RFC 8839 section 5.1) and are for diagnosis only. Who
//! connects through a relay so that the peer does not learn that address must not tell it: the RFC has
//! `0.0.0.0` and `9` for this.

const RELATED: &str = " raddr ";

/// One candidate attribute, without our address.
pub(super) fn without_related(attribute: &str) -> String {
    let Some((candidate, related)) = attribute.split_once(RELATED) else {
        return attribute.to_owned();
    };
    // The address, `rport`, the port; then extensions.
    let rest: Vec<&str> = related.split(' ').skip(3).collect();
    let any = if related.split(' ').next().is_some_and(|ip| ip.contains(':')) {
        "::"
    } else {
        "0.0.0.0"
    };
    let mut anonymous = format!("{candidate}{RELATED}{any} rport 9");
    for extension in rest {
        anonymous.push(' ');
        anonymous.push_str(extension);
    }
    anonymous
}

/// A description, without our address in its candidates.
pub(super) fn description(sdp: &str) -> String {
    let lines = sdp.split_inclusive("\r\n").map(|line| {
        let (text, end) = line
            .strip_suffix("\r\n")
            .map_or((line, ""), |text| (text, "\r\n"));
        match text.starts_with("a=candidate:") {
            true => without_related(text) + end,
            false => line.to_owned(),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_address_is_not_told() {
        for (given, expected) in [
            (
                "candidate:1 1 udp 1 192.0.2.1 9000 typ relay raddr 10.0.0.7 rport 5000 ufrag x",
                "candidate:1 1 udp 1 192.0.2.1 9000 typ relay raddr 0.0.0.0 rport 9 ufrag x",
            ),
            (
                "candidate:1 1 udp 1 2001:db8::1 9000 typ relay raddr fd00::7 rport 5000",
                "candidate:1 1 udp 1 2001:db8::1 9000 typ relay raddr :: rport 9",
            ),
            (
                "candidate:1 1 udp 1 192.0.2.1 9000 typ host",
                "candidate:1 1 udp 1 192.0.2.1 9000 typ host",
            ),
        ] {
            assert_eq!(without_related(given), expected);
        }
        let sdp = "v=0\r\na=x raddr 10.0.0.7 rport 1\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ relay raddr 10.0.0.7 rport 1\r\n";
        let expected = "v=0\r\na=x raddr 10.0.0.7 rport 1\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ relay raddr 0.0.0.0 rport 9\r\n";
        assert_eq!(description(sdp), expected);
    }
}
