//! What one side exposes: names, addresses, and what they are resolved to, once.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::address::{Address, HostPort};
use super::frame::MAX_TARGET;

/// Most services of one side.
pub const MAX_SERVICES: usize = 64;

/// How long a host may be looked for.
const LOOK_UP: Duration = Duration::from_secs(10);

/// Addresses that are tried of a host with many.
const MAX_ADDRESSES: usize = 8;

/// What a service is called between two peers: 1 to 64 bytes without blanks, control characters, `=` and `,`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

impl TryFrom<String> for ServiceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || "=,".contains(c);
        if name.is_empty() || name.len() > MAX_TARGET || name.contains(bad) {
            return Err(format!(
                "a name has 1 to {MAX_TARGET} bytes, and no blanks, '=' or ','"
            ));
        }
        Ok(Self(name))
    }
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        name.to_owned().try_into()
    }
}

/// How a service is reached by the side that exposes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// TCP connections.
    Tcp,
    /// UDP datagrams.
    Udp,
    /// Connections to a Unix socket.
    Unix,
    /// Something of a later version.
    #[serde(other)]
    Unknown,
}

impl Kind {
    /// Whether it is a stream of bytes.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix)
    }
}

/// A service, as the other side hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: ServiceName,
    /// How it is reached there.
    pub kind: Kind,
}

/// Why something cannot be exposed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The host was not found.
    #[error("the host of '{address}' was not found")]
    NotFound {
        /// What was typed.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// It leads where nobody would expose anything on purpose.
    #[error("'{address}' leads to {ip}, which is never exposed {why}")]
    Denied {
        /// What was typed.
        address: String,
        /// What it was resolved to.
        ip: IpAddr,
        /// Why not.
        why: &'static str,
    },
}

/// Something that is exposed. Its host was looked up once: wherever the name leads later, connections go to
/// what was found then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    name: ServiceName,
    target: Target,
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Tcp(Vec<SocketAddr>),
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl Service {
    /// Looks the host up.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn resolve(name: ServiceName, address: &Address) -> Result<Self, ServiceError> {
        let target = match address {
            Address::Tcp(host) => Target::Tcp(look_up(address, host).await?),
            Address::Udp(host) => Target::Udp(look_up(address, host).await?[0]),
            Address::Unix(path) => Target::Unix(path.clone()),
        };
        Ok(Self { name, target })
    }

    /// What it is called.
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// The other side's view.
    pub fn listed(&self) -> Listed {
        let kind = match self.target {
            Target::Tcp(_) => Kind::Tcp,
            Target::Udp(_) => Kind::Udp,
            Target::Unix(_) => Kind::Unix,
        };
        Listed {
            name: self.name.clone(),
            kind,
        }
    }

    /// Where it is, in words for this side.
    pub fn place(&self) -> String {
        match &self.target {
            Target::Tcp(addresses) => {
                let all: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                all.join(" or ")
            }
            Target::Udp(address) => format!("udp:{address}"),
            Target::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

/// At least one address, and none that is denied.
async fn look_up(address: &Address, host: &HostPort) -> Result<Vec<SocketAddr>, ServiceError> {
    let not_found = |source| ServiceError::NotFound {
        address: address.to_string(),
        source,
    };
    let looking = timeout(LOOK_UP, lookup_host((host.host.as_str(), host.port)));
    let found = looking.await.unwrap_or_else(|late| Err(late.into()));
    let mut addresses = Vec::new();
    for found in found.map_err(not_found)?.take(MAX_ADDRESSES) {
        if let Err(why) = check(&host.host, found.ip()) {
            return Err(ServiceError::Denied {
                address: address.to_string(),
                ip: found.ip(),
                why,
            });
        }
        if !addresses.contains(&found) {
            addresses.push(found);
        }
    }
    match addresses.is_empty() {
        true => Err(not_found(io::ErrorKind::NotFound.into())),
        false => Ok(addresses),
    }
}

/// A name may be somebody else's to point: it must not reach what listens to this machine alone, or to whoever
/// is on its link, such as the keys that clouds hand out on 169.254.169.254. Who types such an address means it.
fn check(host: &str, ip: IpAddr) -> Result<(), &'static str> {
    if ip.is_unspecified() || ip.is_multicast() {
        return Err("as it is nobody's");
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let ours = host == "localhost" || host.ends_with(".localhost");
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    match ip {
        ip if ip.is_loopback() && !ours => Err("by another name than localhost"),
        _ if link_local => Err("by a name; type the address if it is meant"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless() {
        for name in ["ssh", "localhost:22", "unix:/run/x", "ü"] {
            assert_eq!(name.parse::<ServiceName>().unwrap().as_str(), name);
        }
        let long = "x".repeat(65);
        for name in ["", "a b", "a=b", "a,b", "a\x1b[2J", "a\n", &long] {
            assert!(name.parse::<ServiceName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_list_is_what_the_protocol_says() {
        let list = r#"[{"name":"ssh","kind":"tcp"},{"name":"dns","kind":"udp"},{"name":"x","kind":"unix"}]"#;
        let parsed: Vec<Listed> = serde_json::from_str(list).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), list);
        let later: Listed = serde_json::from_str(r#"{"name":"x","kind":"quic","more":1}"#).unwrap();
        assert_eq!(later.kind, Kind::Unknown);
        assert!(serde_json::from_str::<Listed>(r#"{"name":"","kind":"tcp"}"#).is_err());
    }

    #[test]
    fn names_do_not_lead_where_only_addresses_may() {
        for (host, ip, allowed) in [
            ("localhost", "127.0.0.1", true),
            ("app.localhost", "::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("169.254.169.254", "169.254.169.254", true),
            ("db.example", "10.0.0.7", true),
            ("evil.example", "127.0.0.1", false),
            ("evil.example", "::ffff:127.0.0.1", false),
            ("evil.example", "::1", false),
            ("evil.example", "169.254.169.254", false),
            ("evil.example", "fe80::1", false),
            ("0.0.0.0", "0.0.0.0", false),
            ("224.0.0.1", "224.0.0.1", false),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(check(host, ip).is_ok(), allowed, "{host} {ip}");
        }
    }

    #[tokio::test]
    async fn a_service_stays_where_it_was_found() {
        let name: ServiceName = "web".parse().unwrap();
        let address = "127.0.0.1:80".parse().unwrap();
        let service = Service::resolve(name.clone(), &address).await.unwrap();
        assert_eq!(service.place(), "127.0.0.1:80");
        assert_eq!(service.listed().kind, Kind::Tcp);
        let denied = Service::resolve(name, &"0.0.0.0:80".parse().unwrap()).await;
        assert!(matches!(denied, Err(ServiceError::Denied { .. })));
    }
}
