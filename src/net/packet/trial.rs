//! Packet sizes for a browser, which answers no probes: each is tried on a fresh lane.

use super::{BASE, SIZES};
use std::net::SocketAddr;

/// The first size to try, if any is larger than what every path carries: what the peer's engine takes, and the interface
/// on the way to `destination` carries.
pub(crate) fn first(takes: u16, destination: SocketAddr) -> Option<u16> {
    larger(takes.min(SIZES[0]).min(carried(destination)))
}

/// The next one after `failed` did not get through.
pub(crate) fn after(failed: u16) -> Option<u16> {
    SIZES
        .into_iter()
        .find(|size| *size < failed)
        .and_then(larger)
}

fn larger(size: u16) -> Option<u16> {
    (size > BASE).then_some(size)
}

/// UDP payload that the interface carries. Ethernet's, where the system does not tell.
fn carried(destination: SocketAddr) -> u16 {
    let headers = if destination.is_ipv4() {
        20 + 8
    } else {
        40 + 8
    };
    let mtu = mtu(destination).unwrap_or(1500);
    u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX)
}

#[cfg(target_os = "linux")]
fn mtu(destination: SocketAddr) -> Option<u32> {
    use rustix::net::sockopt::{ip_mtu, ipv6_mtu};
    let any = match destination {
        SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    };
    // Connected, the socket knows its route; nothing is sent.
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(destination).ok()?;
    match destination {
        SocketAddr::V4(_) => ip_mtu(&socket).ok(),
        SocketAddr::V6(_) => ipv6_mtu(&socket).ok(),
    }
}

#[cfg(not(target_os = "linux"))]
fn mtu(_: SocketAddr) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_carries_what_the_engine_takes() {
        let here = SocketAddr::from(([127, 0, 0, 1], 9));
        if cfg!(target_os = "linux") {
            assert_eq!(first(8000, here), Some(8000));
        }
        assert!(first(u16::MAX, here) <= Some(SIZES[0]), "what DTLS carries");
        assert_eq!(first(BASE, here), None);
        assert_eq!(first(0, here), None);
        let nowhere = SocketAddr::from(([0; 16], 0));
        assert!(
            first(u16::MAX, nowhere) >= Some(1452),
            "no route is no reason to fail"
        );
    }

    #[test]
    fn what_failed_is_followed_by_less_and_ends() {
        let mut size = Some(8000);
        let mut tried = Vec::new();
        while let Some(failed) = size {
            tried.push(failed);
            size = after(failed);
        }
        assert_eq!(tried, [8000, 1472, 1452, 1400, 1320]);
        assert_eq!(after(BASE), None);
    }
}
