//! Addresses of services, as they are typed. Pure.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An address as it is typed: `8080` and `localhost:8080` (TCP), `udp:localhost:53`, `unix:/run/x.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port of a host.
    Tcp(HostPort),
    /// A UDP port of a host.
    Udp(HostPort),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// A port of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Address {
    /// Worded for the one who typed it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("tcp", rest)) => rest.parse().map(Self::Tcp),
            Some(("udp", rest)) => rest.parse().map(Self::Udp),
            Some(("unix", "")) => Err("unix: needs a path behind it".to_owned()),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            _ if text.starts_with(['/', '.']) => Ok(Self::Unix(text.into())),
            _ => text.parse().map(Self::Tcp),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    /// A port alone is one of this host.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a port, nor a HOST:PORT");
        let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        // What is in brackets is an IPv6 address, maybe with a zone; without them it has no place for a port.
        let host = bare.unwrap_or(host);
        let no_part = |c: char| "/[]@".contains(c) || c.is_whitespace() || c.is_control();
        let is_wrong = host.is_empty() || host.starts_with('.') || host.contains(no_part);
        if is_wrong || host.contains(':') != bare.is_some() {
            return Err(wrong());
        }
        let port = port.parse().ok().filter(|port| *port != 0);
        Ok(Self {
            host: host.to_owned(),
            port: port.ok_or_else(wrong)?,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A host of this name, not a kind of address.
            Self::Tcp(host) if ["tcp", "udp", "unix"].contains(&host.host.as_str()) => {
                write!(f, "tcp:{host}")
            }
            Self::Tcp(host) => host.fmt(f),
            Self::Udp(host) => write!(f, "udp:{host}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_they_are_typed() {
        for (text, expected) in [
            ("22", "localhost:22"),
            ("db:5432", "db:5432"),
            ("tcp:22", "localhost:22"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("udp:53", "udp:localhost:53"),
            ("udp:[::1]:53", "udp:[::1]:53"),
            ("unix:run/x", "unix:run/x"),
            ("/run/x", "unix:/run/x"),
            ("./x", "unix:./x"),
            ("tcp:udp:80", "tcp:udp:80"),
            ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), expected);
            assert_eq!(expected.parse(), Ok(address));
        }
        for text in [
            "",
            "x",
            "x:",
            ":22",
            "x:0",
            "x:70000",
            "::1:80",
            "udp:",
            "unix:",
            "tcp:x",
            "http://x:1",
            "[]:1",
            "[x]:1",
            "[[::1]]:1",
            "a b:1",
            "a\u{1b}[2J:1",
            "tcp:/run/x:1",
            "tcp:.x:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
