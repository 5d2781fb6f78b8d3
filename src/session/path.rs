//! How the peers reach each other.

pub use signaling_protocol::PathKind;
use std::fmt;
use std::time::Duration;

/// The way packets take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Directly or through a TURN server.
    pub kind: PathKind,
    /// Time to the peer and back, as ICE measured it; zero if it has not yet.
    pub round_trip: Duration,
    /// Our address and port.
    pub local: String,
    /// The peer's address and port.
    pub remote: String,
    /// How our own TURN server is reached, if packets go through it. Through the peer's, this is `None`.
    pub relay: Option<RelayTransport>,
}

/// How a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTransport {
    /// By datagrams.
    Udp,
    /// In a TCP stream.
    Tcp,
    /// In a TLS stream.
    Tls,
}

impl fmt::Display for RelayTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

/// Which ways may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathPolicy {
    /// The best there is: direct if possible.
    #[default]
    Any,
    /// Only through a TURN server, so that the peer does not learn our address.
    RelayOnly,
    /// Never through a TURN server.
    DirectOnly,
}

/// An address and a port as one text.
pub(super) fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}
