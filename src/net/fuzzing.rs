//! Datagrams, for `fuzz/`.

use super::filter::SourceFilter;
use std::net::{Ipv4Addr, SocketAddr};

/// What arrives at a socket: as STUN, DTLS, a probe, a repaired record, and as frames of TURN over a stream.
pub fn net_datagrams(data: &[u8]) {
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let stride = data.first().map_or(1, |first| usize::from(*first));
    let mut filter = SourceFilter::default();
    if filter.accepts(data, stride, source) {
        let of_stun = |datagram: &[u8]| datagram.len() >= 20 && datagram[0] < 0x40;
        assert!(data.chunks(stride.max(1)).all(of_stun), "nobody asked it");
    }
    filter.sending(data, source);
    let _ = filter.accepts(data, stride, source);
    super::handshake::fuzzing::records(data);
    super::packet::fuzzing::probe(data);
    super::repair::fuzzing::datagrams(data);
    super::turn::fuzzing::frames(data);
}

pub(crate) use super::turn::fuzzing::uri as turn_uri;
