//! Addresses of STUN and TURN servers as typed on the command line.
//!
//! Only the form is looked at. Nothing here resolves a name or opens a socket.

use url::Host;

/// A STUN or TURN server: `stun:host`, `turn:host:port?transport=tcp`, `turns:[::1]:5349`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IceUrl(String);

/// Why a text names no STUN or TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not {wanted}")]
pub(crate) struct IceUrlError {
    wanted: &'static str,
}

impl IceUrl {
    /// Reads `stun:` and `stuns:` URLs.
    pub(crate) fn stun(text: &str) -> Result<Self, IceUrlError> {
        let error = IceUrlError {
            wanted: "a URL such as stun:stun.example.org:3478",
        };
        let rest = without_scheme(text, ["stun", "stuns"]).ok_or(error)?;
        if is_host_and_port(rest) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error)
        }
    }

    /// Reads `turn:` and `turns:` URLs, with or without `?transport=udp` or `tcp`.
    pub(crate) fn turn(text: &str) -> Result<Self, IceUrlError> {
        let wanted =
            "a URL such as turn:turn.example.org:3478 or turns:turn.example.org?transport=tcp";
        let error = IceUrlError { wanted };
        let rest = without_scheme(text, ["turn", "turns"]).ok_or(error)?;
        let address = match rest.split_once('?') {
            None => rest,
            Some((address, "transport=udp" | "transport=tcp")) => address,
            Some(_) => return Err(error),
        };
        if is_host_and_port(address) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error)
        }
    }

    /// The URL in RFC 7064 and 7065 form.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn without_scheme<'a>(text: &'a str, schemes: [&str; 2]) -> Option<&'a str> {
    let (scheme, rest) = text.split_once(':')?;
    schemes.contains(&scheme).then_some(rest)
}

/// `host`, `host:port`, `1.2.3.4:port`, `[::1]:port`.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // The colons inside `[::1]` are no port separators.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_is_fine = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0));
    port_is_fine && Host::parse(host).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ice_servers() {
        for text in [
            "stun:h",
            "stun:h:3478",
            "stuns:1.2.3.4",
            "stun:[::1]",
            "stun:[::1]:3478",
        ] {
            assert_eq!(IceUrl::stun(text).expect(text).as_str(), text);
        }
        for text in [
            "turn:h",
            "turns:h:5349?transport=tcp",
            "turn:[::1]:1?transport=udp",
        ] {
            assert_eq!(IceUrl::turn(text).expect(text).as_str(), text);
        }
        for text in [
            "",
            "stun:",
            "stun:h:0",
            "stun:h:x",
            "stun:h:70000",
            "turn:h",
            "http://h",
            "stun:h?transport=tcp",
            "stun:a b",
            "stun:[::1",
            "h:3478",
            "stun://h",
        ] {
            assert!(IceUrl::stun(text).is_err(), "{text:?}");
        }
        for text in [
            "stun:h",
            "turn:h?transport=sctp",
            "turn:h?x",
            "turn:?transport=tcp",
        ] {
            assert!(IceUrl::turn(text).is_err(), "{text:?}");
        }
    }
}
