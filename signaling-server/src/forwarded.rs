//! Where a request comes from when a proxy passes it on.

use crate::{config::ProxyHeader, network::Network};
use axum::http::{HeaderMap, HeaderName, header};
use std::net::{IpAddr, SocketAddr};

/// Most entries that are looked at: nobody has more proxies than that behind each other.
const MAX_ENTRIES: usize = 32;

/// Whose word is taken, and in which header.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    header: ProxyHeader,
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<Network>, header: ProxyHeader) -> Self {
        Self { trusted, header }
    }

    /// Whether a connection from there is one of a proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|range| range.contains(address))
    }

    /// The client of a request that came from a trusted proxy: the last address that is not one of a
    /// trusted proxy itself, since everything before it is the client's own word. Without a usable
    /// header, the proxy.
    pub(crate) fn client(&self, proxy: IpAddr, headers: &HeaderMap) -> IpAddr {
        let name: HeaderName = match self.header {
            ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ProxyHeader::Forwarded => header::FORWARDED,
        };
        let mut client = proxy;
        let values = headers.get_all(name);
        let values: Vec<_> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let entries = values.iter().rev().flat_map(|value| value.rsplit(','));
        for entry in entries.take(MAX_ENTRIES) {
            let address = match self.header {
                ProxyHeader::XForwardedFor => address(entry.trim()),
                ProxyHeader::Forwarded => element(entry),
            };
            // An obfuscated or missing one: what is before it cannot be attributed.
            let Some(address) = address else {
                return client;
            };
            client = address;
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }
}

/// The `for` of one element of RFC 7239.
fn element(text: &str) -> Option<IpAddr> {
    let value = text.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })?;
    address(value.trim().trim_matches('"'))
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(header: ProxyHeader, name: &'static str, values: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "127.0.0.1", "fd00::/8"];
        let trusted = trusted.map(|range| range.parse().unwrap()).to_vec();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let proxy = "10.0.0.1".parse().unwrap();
        Proxies::new(trusted, header)
            .client(proxy, &headers)
            .to_string()
    }

    #[test]
    fn the_last_address_that_no_proxy_has_is_the_client() {
        let rows: [(&[&str], &str); 12] = [
            (&["192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            // What the client itself wrote stands in front.
            (&["127.0.0.1, 192.0.2.1"], "192.0.2.1"),
            (&["198.51.100.7", "192.0.2.1, 10.1.1.1"], "192.0.2.1"),
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&["192.0.2.1, unknown"], "10.0.0.1"),
            (&["192.0.2.1, unknown, 10.1.1.1"], "10.1.1.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ];
        for (values, expected) in rows {
            let got = client(ProxyHeader::XForwardedFor, "x-forwarded-for", values);
            assert_eq!(got, expected, "{values:?}");
        }
        let rows: [(&[&str], &str); 6] = [
            (&["for=192.0.2.1;proto=https"], "192.0.2.1"),
            (&["proto=https; For=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&["for=127.0.0.1, for=192.0.2.1, for=10.1.1.1"], "192.0.2.1"),
            (&["for=_hidden"], "10.0.0.1"),
            (&["by=192.0.2.1"], "10.0.0.1"),
            (&["for="], "10.0.0.1"),
        ];
        for (values, expected) in rows {
            let got = client(ProxyHeader::Forwarded, "forwarded", values);
            assert_eq!(got, expected, "{values:?}");
        }
    }

    #[test]
    fn the_other_header_is_the_clients_own() {
        let got = client(ProxyHeader::XForwardedFor, "forwarded", &["for=192.0.2.9"]);
        assert_eq!(got, "10.0.0.1");
        let got = client(ProxyHeader::Forwarded, "x-forwarded-for", &["192.0.2.9"]);
        assert_eq!(got, "10.0.0.1");
    }

    #[test]
    fn a_header_without_end_is_not_followed() {
        let many = "10.1.1.1,".repeat(10_000) + "10.1.1.1";
        let got = client(ProxyHeader::XForwardedFor, "x-forwarded-for", &[&many]);
        assert_eq!(got, "10.1.1.1");
    }
}
