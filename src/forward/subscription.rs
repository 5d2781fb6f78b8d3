//! One receiver of a track.

use super::choice::Choice;
use super::layer::Layer;
use super::numbering::{Numbering, Out, Place};
use super::picture;
use super::relay::{Action, Subscriber};
use crate::media::{Codec, Packet};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a packet is sent again to one receiver, and how long after the last time: what is asked for twice within a
/// round trip is still on its way.
const RESENDS: u8 = 5;
const RESEND_PAUSE: Duration = Duration::from_millis(20);

/// Packets of one receiver whose repetitions are counted.
const RESENT: usize = 1024;

/// What one receiver is sent.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) numbering: Numbering,
    pub(super) choice: Choice,
    pub(super) wish: u32,
    resent: BTreeMap<i64, (u8, Instant)>,
}

impl Subscription {
    /// It was sent nothing yet.
    pub(super) fn new(clock_rate: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            numbering: Numbering::new(clock_rate, sequence, timestamp),
            // Where times begin is drawn at random.
            choice: Choice::new(timestamp),
            wish: 0,
            resent: BTreeMap::new(),
        }
    }
}

/// A packet of a source as it came.
pub(super) struct Sent<'a> {
    pub(super) place: Place,
    pub(super) arrived: Instant,
    pub(super) packet: &'a Packet,
}

impl Subscription {
    /// Follows a source from this packet on.
    pub(super) fn follow(&mut self, first: &Sent<'_>) {
        let picture = picture::numbers(&first.packet.payload);
        let timestamp = first.packet.timestamp;
        self.numbering
            .follow(first.place, first.arrived, timestamp, picture);
    }

    /// Sends what is held of a layer from this packet on.
    pub(super) fn replay(
        &mut self,
        who: Subscriber,
        layer: &Layer,
        number: i64,
        codec: Codec,
        actions: &mut Vec<Action>,
    ) -> u64 {
        let mut count = 0;
        for (number, held) in layer.cache.since(number) {
            let sent = Sent {
                place: Place {
                    source: layer.source,
                    number,
                },
                arrived: held.arrived,
                packet: &held.packet,
            };
            count += u64::from(self.send(who, &sent, codec, actions));
        }
        count
    }

    /// Sends a packet if it is of what this receiver follows, or followed.
    pub(super) fn send(
        &mut self,
        to: Subscriber,
        sent: &Sent<'_>,
        codec: Codec,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some(out) = self.numbering.out(sent.place) else {
            return false;
        };
        let picture = match codec {
            Codec::Vp8 => picture::numbers(&sent.packet.payload),
            _ => None,
        };
        self.numbering
            .sent(out, sent.arrived, sent.packet.timestamp, picture);
        let packet = numbered(sent.packet, out, codec);
        actions.push(Action::Send { to, packet });
        true
    }

    /// A packet that was sent, to be sent again; `None` if that was often or not long ago.
    pub(super) fn again(
        &mut self,
        now: Instant,
        number: i64,
        place: Place,
        packet: &Packet,
        codec: Codec,
    ) -> Option<Packet> {
        let out = self.numbering.out(place)?;
        self.may_resend(now, number)
            .then(|| numbered(packet, out, codec))
    }

    fn may_resend(&mut self, now: Instant, number: i64) -> bool {
        let (times, last) = self.resent.entry(number).or_insert((0, now));
        let is_due = *times == 0 || now.saturating_duration_since(*last) >= RESEND_PAUSE;
        if *times == RESENDS || !is_due {
            return false;
        }
        *times += 1;
        *last = now;
        if self.resent.len() > RESENT {
            self.resent.pop_first();
        }
        true
    }
}

/// A packet under its receiver's numbers. The payload is shared unless a picture number in it has to change.
fn numbered(packet: &Packet, out: Out, codec: Codec) -> Packet {
    let payload = match codec {
        Codec::Vp8 => out.pictures.rewrite(&packet.payload),
        _ => packet.payload.clone(),
    };
    Packet {
        sequence: out.number as u16,
        timestamp: out.timestamp(packet.timestamp),
        marker: packet.marker,
        payload,
    }
}
