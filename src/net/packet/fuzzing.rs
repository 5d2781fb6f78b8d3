//! Probes, for `fuzz/`.

use super::probe::{Message, ProbeKey};

/// As it came, and as what a probe with a right tag says.
pub(in crate::net) fn probe(datagram: &[u8]) {
    let key = ProbeKey::new(b"offerer", b"answerer");
    assert_eq!(
        Message::decode(datagram, &key),
        None,
        "nobody knows the key"
    );
    let Some((number, _)) = datagram.split_first_chunk::<10>() else {
        return;
    };
    let [size @ .., _, _, _, _, _, _, _, _] = number;
    let size = u16::from_be_bytes([size[0], size[1]]);
    let id = u64::from_be_bytes(std::array::from_fn(|at| number[at + 2]));
    for message in [Message::Probe { id, size }, Message::Answer { id, size }] {
        let mut encoded = message.encode(&key);
        assert_eq!(Message::decode(&encoded, &key), Some(message));
        encoded.truncate(datagram.len());
        let _ = Message::decode(&encoded, &key);
    }
}
