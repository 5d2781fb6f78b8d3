//! What kind of DTLS records a datagram holds.

/// Content types (RFC 5246 section 6.2.1) and the header of a record (RFC 6347 section 4.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
const RECORD_HEADER: usize = 13;
pub(super) const CLIENT_HELLO: u8 = 1;

/// ChannelData, Send and Data indications and their attribute (RFC 8656 sections 12.4, 17 and 18).
const CHANNELS: std::ops::Range<u8> = 0x40..0x50;
const INDICATIONS: [[u8; 2]; 2] = [[0x00, 0x16], [0x00, 0x17]];
const DATA: u16 = 0x0013;

/// What is in a datagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) handshake: bool,
    pub(super) client_hello: bool,
    pub(super) encrypted_handshake: bool,
    pub(super) application_data: bool,
    /// SRTP or SRTCP (RFC 7983 section 7).
    pub(super) media: bool,
}

impl Seen {
    pub(super) fn of(datagram: &[u8]) -> Self {
        let mut seen = Self::default();
        let mut rest = unwrapped(datagram);
        seen.media = matches!(rest.first(), Some(128..192));
        while let Some((header, body)) = rest.split_at_checked(RECORD_HEADER) {
            let encrypted = header[3..5] != [0, 0];
            match header[0] {
                CHANGE_CIPHER_SPEC => seen.handshake = true,
                HANDSHAKE => {
                    seen.handshake = true;
                    seen.encrypted_handshake |= encrypted;
                    seen.client_hello |= !encrypted && body.first() == Some(&CLIENT_HELLO);
                }
                ALERT => {}
                APPLICATION_DATA => seen.application_data = true,
                _ => break,
            }
            let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
            rest = body.get(length..).unwrap_or_default();
        }
        seen
    }
}

/// What a TURN server passes on, or has to; anything else is as it is.
pub(super) fn unwrapped(datagram: &[u8]) -> &[u8] {
    match datagram {
        [first, _, _, _, data @ ..] if CHANNELS.contains(first) => data,
        [a, b, ..] if INDICATIONS.contains(&[*a, *b]) => {
            let mut rest = datagram.get(20..).unwrap_or_default();
            while let Some((header, value)) = rest.split_at_checked(4) {
                let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
                if u16::from_be_bytes([header[0], header[1]]) == DATA {
                    return value.get(..length).unwrap_or_default();
                }
                rest = value.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
            &[]
        }
        _ => datagram,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::net::handshake) fn record(content_type: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![content_type, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 7, 0];
        record.push(body.len() as u8);
        record.extend(body);
        record
    }

    pub(in crate::net::handshake) fn hello() -> Vec<u8> {
        record(HANDSHAKE, 0, &[CLIENT_HELLO, 0, 0])
    }

    /// A key exchange, the change of ciphers and the encrypted end.
    pub(in crate::net::handshake) fn last_flight() -> Vec<u8> {
        let parts = [
            record(HANDSHAKE, 0, &[16, 0]),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            record(HANDSHAKE, 1, &[9; 30]),
        ];
        parts.concat()
    }

    #[test]
    fn what_a_turn_server_carries_is_seen_too() {
        let inner = last_flight();
        let length = (inner.len() as u16).to_be_bytes();
        let channel = [&[0x40, 1], &length[..], &inner].concat();
        let mut indication = vec![0; 20];
        indication[..2].copy_from_slice(&INDICATIONS[0]);
        indication.extend([0, 0x12, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0x13]);
        indication.extend(length);
        indication.extend(&inner);
        for datagram in [&inner, &channel, &indication] {
            assert!(Seen::of(datagram).encrypted_handshake, "{datagram:?}");
        }
    }
}
