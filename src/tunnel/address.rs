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
        let host = match bare {
            Some(host) => host,
            // An IPv6 address without brackets has no place for a port.
            None if host.is_empty() || host.contains(':') => return Err(wrong()),
            None => host,
        };
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
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), expected);
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
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
