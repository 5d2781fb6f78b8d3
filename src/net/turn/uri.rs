//! `turn:` and `turns:` URIs (RFC 7065).

/// How a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// A TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TurnUri {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) transport: Transport,
}

impl TurnUri {
    /// `None` for what is no such URI, or names a transport that nobody speaks (DTLS).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "turn" => false,
            "turns" => true,
            _ => return None,
        };
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        let transport = match (secure, query.map(|query| query.strip_prefix("transport="))) {
            (false, None | Some(Some("udp"))) => Transport::Udp,
            (false, Some(Some("tcp"))) => Transport::Tcp,
            (true, None | Some(Some("tcp"))) => Transport::Tls,
            _ => return None,
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (ip, port) = rest.split_once(']')?;
                ip.parse::<std::net::Ipv6Addr>().ok()?;
                (
                    ip,
                    port.strip_prefix(':')
                        .or(port.is_empty().then_some(""))
                        .map(non_empty)?,
                )
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(name) {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if secure => 5349,
            None => 3478,
        };
        Some(Self {
            host: host.to_owned(),
            port,
            transport,
        })
    }
}

fn non_empty(port: &str) -> Option<&str> {
    (!port.is_empty()).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_say_host_port_and_transport() {
        use Transport::{Tcp, Tls, Udp};
        for (text, expected) in [
            ("turn:t.example", Some(("t.example", 3478, Udp))),
            (
                "turn:t.example:80?transport=udp",
                Some(("t.example", 80, Udp)),
            ),
            (
                "turn:192.0.2.1?transport=tcp",
                Some(("192.0.2.1", 3478, Tcp)),
            ),
            ("turns:t.example", Some(("t.example", 5349, Tls))),
            (
                "TURNS:t.example:443?transport=tcp",
                Some(("t.example", 443, Tls)),
            ),
            ("turns:[2001:db8::1]:443", Some(("2001:db8::1", 443, Tls))),
            ("turn:[2001:db8::1]", Some(("2001:db8::1", 3478, Udp))),
            ("turns:t.example?transport=udp", None),
            ("turn:t.example?transport=sctp", None),
            ("turn:t.example?x=y", None),
            ("turn:", None),
            ("turn:t:0", None),
            ("turn:t:70000", None),
            ("turn:[::1", None),
            ("turn:[x]:1", None),
            ("turn:a/b", None),
            ("turn:a@b", None),
            ("stun:t.example", None),
            ("t.example", None),
        ] {
            let expected = expected.map(|(host, port, transport)| TurnUri {
                host: host.to_owned(),
                port,
                transport,
            });
            assert_eq!(TurnUri::parse(text), expected, "{text}");
        }
    }
}
