//! Numbered records and acknowledgements, for `fuzz/`.

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::wire::{Ack, Message, RepairKey, Way, decode, fuzzing::tagged};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One datagram as it came; then many with right tags, as a hostile peer sends them: a byte that says what, the
/// length, and the rest of it.
pub(in crate::net) fn datagrams(data: &[u8]) {
    let key = RepairKey::new(&[1; 32], Way::Offerer);
    assert_eq!(decode(data, &key), None, "nobody knows the key");
    let mut now = Instant::now();
    let (mut incoming, mut ready) = (Incoming::default(), VecDeque::new());
    let mut outgoing = Outgoing::new(now);
    let mut given = 0;
    let mut rest = data;
    while let [what, length, after @ ..] = rest {
        let (body, after) = after.split_at(after.len().min(usize::from(*length)));
        rest = after;
        now += Duration::from_millis(u64::from(what >> 2));
        let datagram = tagged(what & 1 == 0, body, &key);
        match decode(&datagram, &key) {
            Some(Message::Data(data)) => {
                incoming.received(now, &data, &mut ready);
                given += 1;
                assert!(ready.len() <= given, "each once");
                if let Some(ack) = incoming.acknowledge(now) {
                    read_again(&ack, &key);
                }
            }
            Some(Message::Ack(ack)) => {
                read_again(&ack, &key);
                outgoing.acknowledged(now, &ack);
            }
            None => {}
        }
        if what & 2 == 2 {
            outgoing.push(body);
            while outgoing.transmit(now).is_some() {}
            outgoing.timeout(now);
            let _ = outgoing.due(now);
        }
    }
}

/// What is written of an acknowledgement says nothing more than it, and the same when written again.
fn read_again(ack: &Ack, key: &RepairKey) {
    let once = match decode(&ack.encode(key), key) {
        Some(Message::Ack(once)) => once,
        other => panic!("{other:?} of {ack:?}"),
    };
    assert_eq!(once.largest, ack.largest);
    assert!(once.ranges.len() <= ack.ranges.len());
    assert_eq!(decode(&once.encode(key), key), Some(Message::Ack(once)));
}
