//! Where a signaling server is.

use super::fingerprint::Fingerprint;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use url::{Host, Url};

/// The page of a signaling server, from which its WebSocket follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// `http` or `https`, with a path that ends in `/`, and nothing behind the path.
    page: Box<Url>,
    /// The one certificate that the server has to show, whoever has signed it.
    pin: Option<Fingerprint>,
}

/// Why a text is not the address of a signaling server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Not a URL and not `host:port`.
    #[error("this is not a server address ({0}); one looks like https://host or host:8787")]
    Malformed(String),
    /// A URL of something else.
    #[error("a server address begins with http, https, ws or wss, not with {0}")]
    Scheme(String),
    /// It carries a password or token, which would end up in logs.
    #[error("a server address must not have a user name, password or ? in it; give a token apart")]
    Credentials,
}

impl ServerUrl {
    /// The same server, which has to show exactly this certificate; then nobody needs to have signed it.
    /// An address without TLS becomes one with it.
    #[must_use]
    pub fn pinned(mut self, fingerprint: Fingerprint) -> Self {
        self.page
            .set_scheme("https")
            .expect("http can become https");
        self.pin = Some(fingerprint);
        self
    }

    /// The certificate that it has to show, if it is known.
    pub fn pin(&self) -> Option<&Fingerprint> {
        self.pin.as_ref()
    }

    /// The WebSocket: `wss://host/ws`.
    pub fn websocket(&self) -> String {
        let scheme = if self.is_secure() { "wss" } else { "ws" };
        // The page's URL begins with http or https, so the rest behind the colon is the same.
        let rest = self
            .page
            .as_str()
            .split_once(':')
            .map_or("", |(_, rest)| rest);
        format!("{scheme}:{rest}ws")
    }

    /// The page: `https://host/`.
    pub fn page(&self) -> &str {
        self.page.as_str()
    }

    /// The path of what this server answers at `rest` below its page, and the value for `Host`.
    pub(super) fn request(&self, rest: &str) -> (String, &str) {
        let authority = self.page.authority();
        (format!("{}{rest}", self.page.path()), authority)
    }

    /// Whether the way to the server is encrypted.
    pub fn is_secure(&self) -> bool {
        self.page.scheme() == "https"
    }

    /// The name or address and the port to connect to.
    pub(super) fn host_and_port(&self) -> (String, u16) {
        let port = self
            .page
            .port_or_known_default()
            .expect("http and https have a default port");
        let host = match self.page.host().expect("http and https URLs have a host") {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        (host, port)
    }
}

/// Reads `http(s)://…`, `ws(s)://…` or a bare `host[:port]`, of a server's page or of its WebSocket.
///
/// A bare IP address, name without a dot or `.local` name is on a private network, where there are no
/// certificates: it is taken as `http`. Any other bare name is taken as `https`, never less.
impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let text = text.trim();
        let text = match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" | "ws" => format!("http://{rest}"),
                "https" | "wss" => format!("https://{rest}"),
                _ => {
                    let start: String = scheme.chars().take(16).collect();
                    return Err(ServerUrlError::Scheme(start.escape_debug().to_string()));
                }
            },
            None => match parse(&format!("https://{text}"))?.host() {
                Some(host) if is_private(&host) => format!("http://{text}"),
                _ => format!("https://{text}"),
            },
        };
        let mut page = parse(&text)?;
        if !page.username().is_empty() || page.password().is_some() || page.query().is_some() {
            return Err(ServerUrlError::Credentials);
        }
        // The fragment of a link holds the code, which must never reach the server.
        page.set_fragment(None);
        let path = page.path();
        let path = path
            .strip_suffix("/ws")
            .unwrap_or(path)
            .trim_end_matches('/');
        let path = format!("{path}/");
        page.set_path(&path);
        Ok(Self {
            page: Box::new(page),
            pin: None,
        })
    }
}

fn parse(text: &str) -> Result<Url, ServerUrlError> {
    Url::parse(text).map_err(|error| ServerUrlError::Malformed(error.to_string()))
}

fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.contains('.') || name.ends_with(".local"),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

impl From<std::net::SocketAddr> for ServerUrl {
    /// The plain server at an address, as one that was started in this process or found on the network.
    fn from(address: std::net::SocketAddr) -> Self {
        let address = match address.ip() {
            // A server that listens everywhere is reached on this host.
            ip if ip.is_unspecified() && ip.is_ipv4() => ([127, 0, 0, 1], address.port()).into(),
            ip if ip.is_unspecified() => {
                (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), address.port()).into()
            }
            _ => address,
        };
        format!("http://{address}")
            .parse()
            .expect("http:// and a socket address are a URL")
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.page())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_leads_to_the_websocket() {
        for (text, websocket, page) in [
            (
                "https://host.example",
                "wss://host.example/ws",
                "https://host.example/",
            ),
            (
                "HTTPS://Host.Example:443/",
                "wss://host.example/ws",
                "https://host.example/",
            ),
            ("http://host:8787", "ws://host:8787/ws", "http://host:8787/"),
            (
                "ws://10.0.0.2:8787/ws",
                "ws://10.0.0.2:8787/ws",
                "http://10.0.0.2:8787/",
            ),
            (
                "wss://host.example/line/ws",
                "wss://host.example/line/ws",
                "https://host.example/line/",
            ),
            (
                "https://host.example/line",
                "wss://host.example/line/ws",
                "https://host.example/line/",
            ),
            (
                "https://host/#7-crane-velvet-orbit",
                "wss://host/ws",
                "https://host/",
            ),
            (
                "127.0.0.1:8787",
                "ws://127.0.0.1:8787/ws",
                "http://127.0.0.1:8787/",
            ),
            ("[::1]:8787", "ws://[::1]:8787/ws", "http://[::1]:8787/"),
            (
                "localhost:8787",
                "ws://localhost:8787/ws",
                "http://localhost:8787/",
            ),
            (
                "laptop.local:8787",
                "ws://laptop.local:8787/ws",
                "http://laptop.local:8787/",
            ),
            (
                "host.example:8787",
                "wss://host.example:8787/ws",
                "https://host.example:8787/",
            ),
            (
                " host.example ",
                "wss://host.example/ws",
                "https://host.example/",
            ),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                (url.websocket().as_str(), url.page()),
                (websocket, page),
                "{text}"
            );
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "http://",
            "host:port",
            "host:99999",
            "a b",
            "http://[::1",
        ] {
            assert!(
                matches!(text.parse::<ServerUrl>(), Err(ServerUrlError::Malformed(_))),
                "{text}"
            );
        }
        assert_eq!(
            "ftp://host".parse::<ServerUrl>(),
            Err(ServerUrlError::Scheme("ftp".into()))
        );
        for text in [
            "https://me@host",
            "https://me:secret@host",
            "https://host/?token=secret",
        ] {
            assert_eq!(
                text.parse::<ServerUrl>(),
                Err(ServerUrlError::Credentials),
                "{text}"
            );
        }
    }

    #[test]
    fn the_address_of_a_server_in_this_process() {
        for (address, page) in [
            ("0.0.0.0:80", "http://127.0.0.1/"),
            ("[::]:8787", "http://[::1]:8787/"),
            ("192.0.2.1:8787", "http://192.0.2.1:8787/"),
        ] {
            assert_eq!(
                ServerUrl::from(address.parse::<std::net::SocketAddr>().unwrap()).page(),
                page
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            if let Ok(url) = text.parse::<ServerUrl>() {
                url.host_and_port();
                prop_assert!(url.websocket().starts_with("ws"));
            }
        }
    }
}
