//! One track of a publisher, and everybody who receives it.
//!
//! Pure: packets, wishes and the time go in, packets and requests come out. A packet is sent on as soon as it is here, in
//! whatever order that is: receivers put packets in order anyway, and waiting for one that is missing would make all
//! of them wait. Nothing is sent twice unless a receiver asks for it.
//!
//! A receiver begins at a key frame. If the last one is not older than 600 ms, it is sent from the cache together
//! with what came since, and the receiver has a picture at once and costs the publisher nothing. Otherwise one is asked
//! for; since at most half a second passes between two requests, it comes within that and a round trip.

use super::cache::Cache;
use super::layer::{Layer, Wanted};
use super::numbering::{Number, Place};
use super::subscription::{Sent, Subscription};
use crate::media::depayload::key_frame;
use crate::media::{Codec, Packet};
use std::collections::BTreeMap;
use std::time::Instant;

/// Layers of a track: browsers send three.
const LAYERS: usize = 4;

/// Packets that one NACK may ask for; more are left out.
const NACKED: usize = 1024;

/// Names a receiver of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscriber(pub u64);

/// What happens to a track.
#[derive(Debug, Clone)]
pub enum Input {
    /// A packet of the publisher, on the stream with this SSRC.
    Packet {
        /// Tells layers apart.
        ssrc: u32,
        /// The packet.
        packet: Packet,
    },
    /// Somebody wants to receive it. Its first packet shall have this sequence number and timestamp, which should be
    /// random (RFC 3550 section 5.1).
    Subscribe {
        /// Its name; one that is known begins anew.
        who: Subscriber,
        /// Of its first packet.
        sequence: u16,
        /// Of its first packet.
        timestamp: u32,
    },
    /// Somebody does not want it any more.
    Unsubscribe(Subscriber),
    /// A receiver needs a key frame (RFC 4585 section 6.3.1).
    KeyWanted(Subscriber),
    /// A receiver lacks packets (RFC 4585 section 6.2.1).
    Nack(Subscriber, Vec<u16>),
    /// A receiver lost this part, 0 to 1, of what it was sent since its last report.
    Loss(Subscriber, f32),
    /// A receiver wants pictures of at most so many rows; 0 is whatever there is.
    Wish(Subscriber, u32),
    /// The publisher says that this time of a stream is that moment of its clock, in 2^-32 seconds (RFC 3550 section
    /// 6.4.1), which puts its sound to its pictures.
    Report {
        /// The stream.
        ssrc: u32,
        /// The moment.
        moment: u64,
        /// RTP time.
        timestamp: u32,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send {
        /// To whom.
        to: Subscriber,
        /// Numbered for this receiver.
        packet: Packet,
    },
    /// Tell a receiver what the publisher said of its clock.
    Report {
        /// Whom.
        to: Subscriber,
        /// As it came.
        moment: u64,
        /// RTP time for this receiver.
        timestamp: u32,
    },
    /// Ask the publisher for a key frame of this stream.
    AskKey {
        /// Which.
        ssrc: u32,
    },
}

/// How much was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came, each once.
    pub received: u64,
    /// Packets that came again or too late.
    pub late: u64,
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that were sent again.
    pub resent: u64,
    /// Key frames that were asked for.
    pub key_requests: u64,
    /// Receivers that got another layer.
    pub switches: u64,
    /// Packets that a connection took too slowly, so that they were dropped.
    pub dropped: u64,
}

/// One track.
#[derive(Debug)]
pub struct Relay {
    codec: Codec,
    layers: Vec<Layer>,
    subscriptions: BTreeMap<Subscriber, Subscription>,
    counts: Counts,
}

impl Relay {
    /// Nothing has come yet, and nobody wants it.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            layers: Vec::new(),
            subscriptions: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Takes what happened; returns what is to be done, in this order.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Packet { ssrc, packet } => self.packet(now, ssrc, &packet, &mut actions),
            Input::Subscribe {
                who,
                sequence,
                timestamp,
            } => self.subscribe(now, who, (sequence, timestamp), &mut actions),
            Input::Unsubscribe(who) => drop(self.subscriptions.remove(&who)),
            Input::KeyWanted(who) => self.key_wanted(now, who),
            Input::Nack(who, sequences) => self.resend(now, who, &sequences, &mut actions),
            Input::Loss(who, lost) => {
                let layers = self
                    .layers
                    .iter()
                    .filter(|layer| layer.is_sent(now))
                    .count();
                if let Some(subscription) = self.subscriptions.get_mut(&who) {
                    subscription.choice.reported(now, lost, layers);
                }
            }
            Input::Wish(who, rows) => {
                if let Some(subscription) = self.subscriptions.get_mut(&who) {
                    subscription.wish = rows;
                }
            }
            Input::Report {
                ssrc,
                moment,
                timestamp,
            } => actions.extend(self.reports(ssrc, moment, timestamp)),
            Input::Tick => {}
        }
        // A browser that stopped a layer would answer with key frames of all others, on a path that has no room for them.
        let is_any_sent = self.layers.iter().any(|layer| layer.is_sent(now));
        for layer in &mut self.layers {
            if is_any_sent && !layer.is_sent(now) {
                layer.keys.settle();
            }
            if layer.keys.must_ask(now) {
                let ssrc = layer.source.ssrc;
                self.counts.key_requests += 1;
                actions.push(Action::AskKey { ssrc });
            }
        }
        actions
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = self.layers.iter().filter_map(|layer| layer.keys.deadline());
        deadlines.min()
    }

    /// Whether anybody receives it.
    pub fn is_wanted(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// How much was done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Rows of the pictures of the largest layer that is sent now; 0 if that is not known.
    pub fn rows(&self, now: Instant) -> u32 {
        let sent = self.layers.iter().filter(|layer| layer.is_sent(now));
        sent.map(|layer| layer.rows).max().unwrap_or(0)
    }

    fn packet(&mut self, now: Instant, ssrc: u32, packet: &Packet, actions: &mut Vec<Action>) {
        let Some(index) = self.layer(now, ssrc) else {
            return;
        };
        let layer = &mut self.layers[index];
        let number = match layer.unwrap.number(packet.sequence) {
            Number::Is(number) => number,
            Number::Anew(number) => {
                layer.source.generation += 1;
                layer.cache = Cache::default();
                layer.key = None;
                number
            }
            Number::Stray => return,
        };
        if !layer.cache.insert(now, number, packet.clone()) {
            self.counts.late += 1;
            return;
        }
        self.counts.received += 1;
        if !packet.payload.is_empty() {
            layer.heard = Some(now);
        }
        let begins = match key_frame(self.codec, &packet.payload) {
            // Sound begins anywhere; of a key frame, with its first packet.
            Some(key) if layer.key.is_none_or(|(_, known)| known != packet.timestamp) => {
                layer.key = Some((number, packet.timestamp));
                layer.keys.settle();
                if let Some(size) = key.size {
                    layer.rows = size.height;
                }
                true
            }
            _ => false,
        };
        let place = Place {
            source: layer.source,
            number,
        };
        let current = Sent {
            place,
            arrived: now,
            packet,
        };
        let wanted = Wanted::of(&self.layers, now);
        let mut is_waited_for = false;
        for (who, subscription) in &mut self.subscriptions {
            let follows = subscription.numbering.current() == Some(place.source);
            if !follows && wanted.by(subscription) == Some(ssrc) {
                // One that comes late, from before this receiver got another layer, fills its hole and begins nothing.
                let is_late = subscription.numbering.out(place).is_some();
                if !begins || is_late {
                    is_waited_for = true;
                } else {
                    let is_switch = subscription.numbering.current().is_some();
                    self.counts.switches += u64::from(is_switch);
                    subscription.follow(&current);
                    let layer = &self.layers[index];
                    self.counts.sent +=
                        subscription.replay(*who, layer, number, self.codec, actions);
                    continue;
                }
            }
            let sent = subscription.send(*who, &current, self.codec, actions);
            self.counts.sent += u64::from(sent);
        }
        if is_waited_for {
            self.layers[index].keys.want();
        }
    }

    fn reports(&self, ssrc: u32, moment: u64, timestamp: u32) -> impl Iterator<Item = Action> {
        self.subscriptions.iter().filter_map(move |(to, receiver)| {
            Some(Action::Report {
                to: *to,
                moment,
                timestamp: receiver.numbering.timestamp(ssrc, timestamp)?,
            })
        })
    }

    /// The layer with this SSRC, which may be new; `None` if there are too many.
    fn layer(&mut self, now: Instant, ssrc: u32) -> Option<usize> {
        let known = self
            .layers
            .iter()
            .position(|layer| layer.source.ssrc == ssrc);
        if known.is_some() {
            return known;
        }
        if self.layers.len() == LAYERS {
            // A publisher that begins anew has other SSRCs.
            let silent = self.layers.iter().position(|layer| !layer.is_sent(now))?;
            self.layers.remove(silent);
        }
        self.layers.push(Layer::new(ssrc));
        Some(self.layers.len() - 1)
    }

    fn subscribe(
        &mut self,
        now: Instant,
        who: Subscriber,
        (sequence, timestamp): (u16, u32),
        actions: &mut Vec<Action>,
    ) {
        let clock_rate = self.codec.clock_rate();
        let mut subscription = Subscription::new(clock_rate, sequence, timestamp);
        let wanted = Wanted::of(&self.layers, now).by(&subscription);
        let layer = self
            .layers
            .iter_mut()
            .find(|layer| Some(layer.source.ssrc) == wanted);
        // Sound goes on with the next packet; what was said before is over.
        if let Some(layer) = layer.filter(|_| self.codec != Codec::Opus) {
            match layer.fresh_key(now) {
                Some(number) => {
                    let held = layer.cache.get(number);
                    let first = held.map(|held| Sent {
                        place: Place {
                            source: layer.source,
                            number,
                        },
                        arrived: held.arrived,
                        packet: &held.packet,
                    });
                    if let Some(first) = first {
                        subscription.follow(&first);
                        self.counts.sent +=
                            subscription.replay(who, layer, number, self.codec, actions);
                    }
                }
                None => layer.keys.want(),
            }
        }
        self.subscriptions.insert(who, subscription);
    }

    fn key_wanted(&mut self, now: Instant, who: Subscriber) {
        let Some(subscription) = self.subscriptions.get(&who) else {
            return;
        };
        let current = subscription.numbering.current();
        let is_sent = |ssrc: &u32| {
            let mut layers = self.layers.iter();
            layers.any(|layer| layer.source.ssrc == *ssrc && layer.is_sent(now))
        };
        let wanted = Wanted::of(&self.layers, now).by(subscription);
        let current = current.map(|source| source.ssrc).filter(is_sent);
        let ssrc = current.or(wanted);
        let layer = self
            .layers
            .iter_mut()
            .find(|layer| Some(layer.source.ssrc) == ssrc);
        if let Some(layer) = layer {
            layer.keys.want();
        }
    }

    fn resend(
        &mut self,
        now: Instant,
        who: Subscriber,
        sequences: &[u16],
        actions: &mut Vec<Action>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&who) else {
            return;
        };
        for sequence in sequences.iter().take(NACKED) {
            let Some((number, place)) = subscription.numbering.meant(*sequence) else {
                continue;
            };
            let layer = self
                .layers
                .iter()
                .find(|layer| layer.source == place.source);
            // What has not come is sent as soon as it does.
            let Some(held) = layer.and_then(|layer| layer.cache.get(place.number)) else {
                continue;
            };
            if let Some(packet) = subscription.again(now, number, place, &held.packet, self.codec) {
                self.counts.resent += 1;
                actions.push(Action::Send { to: who, packet });
            }
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> impl Iterator<Item = usize> {
        self.layers.iter().map(|layer| layer.cache.bytes())
    }
}
