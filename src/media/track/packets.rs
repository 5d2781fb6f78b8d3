//! Tracks whose packets are passed on as they are.
//!
//! A peer's track is given packet by packet, in whatever order they come; a track of ours takes packets that are
//! numbered for it. Nothing is put in order or together here, and nothing is repeated: `forward::relay` decides that.

use super::super::codec::{Codec, Kind};
use super::super::packet::Packet;
use super::incoming::Described;
use super::outgoing::Leg;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// Packets that wait to be passed on: a second of 5 Mbit/s. Whoever passes them on takes them at once.
const QUEUE: usize = 512;

/// Requests for key frames that wait; each is for one of a few streams.
const REQUESTS: usize = 8;

/// What a peer sends on a track.
#[derive(Debug)]
pub enum Arrived {
    /// A packet.
    Packet {
        /// Its stream: layers of a picture differ in it.
        ssrc: u32,
        /// The packet.
        packet: Packet,
        /// How loud it is, in dB below the loudest possible, if the peer says it (RFC 6464).
        level: Option<u8>,
    },
    /// What the peer says of its clock (RFC 3550 section 6.4.1).
    Report {
        /// The stream.
        ssrc: u32,
        /// In 2^-32 seconds.
        moment: u64,
        /// RTP time of that moment.
        timestamp: u32,
    },
}

/// A track that a peer sends, from its first packet until the peer takes it back.
#[derive(Debug)]
pub struct IncomingPackets {
    codec: Codec,
    stream: String,
    packets: mpsc::Receiver<Arrived>,
    keys: mpsc::Sender<u32>,
}

impl IncomingPackets {
    /// What comes from somebody who cannot be asked for key frames.
    pub(crate) fn from_outside(codec: Codec, packets: mpsc::Receiver<Arrived>) -> Self {
        let (keys, _) = mpsc::channel(1);
        Self {
            codec,
            stream: String::new(),
            packets,
            keys,
        }
    }

    /// How it is encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sound or pictures.
    pub fn kind(&self) -> Kind {
        self.codec.kind()
    }

    /// What it has in common with other tracks of the same peer that belong to it.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// What comes next; `None` when the peer sends the track no more, or the session has ended.
    pub async fn next(&mut self) -> Option<Arrived> {
        self.packets.recv().await
    }

    /// Asks for a key frame of a stream.
    pub fn ask_key(&self, ssrc: u32) {
        // overflow: dropped; one that is waiting asks for the same.
        let _ = self.keys.try_send(ssrc);
    }
}

/// The stream of one track that is followed.
struct Following {
    codec: Codec,
    payload_type: u8,
    packets: mpsc::Sender<Arrived>,
    keys: mpsc::Receiver<u32>,
}

/// As [`incoming::follow`](super::incoming::follow), packet by packet.
pub(super) async fn follow(
    track: Arc<dyn TrackRemote>,
    mut described: watch::Receiver<Described>,
    outlet: mpsc::Sender<IncomingPackets>,
) {
    let name = track.stream_id().await;
    let mut following: Option<Following> = None;
    loop {
        let asked = async {
            match &mut following {
                Some(following) => following.keys.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = track.poll() => match event {
                None => return,
                Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                    take(&described.borrow(), &mut following, &outlet, &name, packet);
                }
                Some(TrackRemoteEvent::OnRtcpPacket(packets)) => {
                    if let Some(following) = &following {
                        following.reports(&packets);
                    }
                }
                Some(_) => {}
            },
            changed = described.changed() => match changed {
                Ok(()) if !described.borrow_and_update().sends => following = None,
                Ok(()) => {}
                Err(_) => return,
            },
            ssrc = asked => match ssrc {
                Some(media_ssrc) => {
                    let ask = PictureLossIndication { sender_ssrc: 0, media_ssrc };
                    let _ = track.write_rtcp(vec![Box::new(ask)]).await;
                }
                // Nobody wants it any more; the next packet would begin it anew, so its end is waited for.
                None => {
                    while described.borrow_and_update().sends {
                        if described.changed().await.is_err() {
                            return;
                        }
                    }
                    following = None;
                }
            },
        }
    }
}

fn take(
    described: &Described,
    following: &mut Option<Following>,
    outlet: &mpsc::Sender<IncomingPackets>,
    stream: &str,
    packet: rtp::Packet,
) {
    if !described.sends {
        return;
    }
    let header = &packet.header;
    let payload_type = header.payload_type;
    if following
        .as_ref()
        .is_none_or(|known| known.payload_type != payload_type)
    {
        let Some(codec) = described.codec(payload_type) else {
            return;
        };
        if following.as_ref().is_none_or(|known| known.codec != codec) {
            let (packets_tx, packets) = mpsc::channel(QUEUE);
            let (keys_tx, keys) = mpsc::channel(REQUESTS);
            let begun = IncomingPackets {
                codec,
                stream: stream.into(),
                packets,
                keys: keys_tx,
            };
            // overflow: the application takes no more tracks; this one is not followed.
            if outlet.try_send(begun).is_err() {
                return;
            }
            *following = Some(Following {
                codec,
                payload_type,
                packets: packets_tx,
                keys,
            });
        }
    }
    let Some(following) = following else {
        return;
    };
    // The lower seven bits; the first says whether it is a voice.
    let level = described
        .level
        .and_then(|number| header.get_extension(number))
        .and_then(|level| level.first().map(|byte| byte & 0x7f));
    let arrived = Arrived::Packet {
        ssrc: header.ssrc,
        packet: Packet {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload,
        },
        level,
    };
    // overflow: dropped, as a network would; whoever misses it asks for it or for a key frame.
    let _ = following.packets.try_send(arrived);
}

impl Following {
    fn reports(&self, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                // overflow: dropped; the next one comes in a few seconds.
                let _ = self.packets.try_send(Arrived::Report {
                    ssrc: report.ssrc,
                    moment: report.ntp_time,
                    timestamp: report.rtp_time,
                });
            }
        }
    }
}

/// What a receiver says of a track of ours.
#[derive(Debug, Clone, PartialEq)]
pub enum Feedback {
    /// It can be received from now on.
    Ready,
    /// The receiver does not understand the codec.
    Refused,
    /// A key frame is needed.
    KeyWanted,
    /// These packets are missing.
    Nack(Vec<u16>),
    /// This part, 0 to 1, was lost since the last time.
    Loss(f32),
}

/// Takes what receivers say, each under its own number.
#[derive(Debug, Clone)]
pub(crate) struct FeedbackSink {
    pub(crate) who: u64,
    pub(crate) feedback: mpsc::Sender<(u64, Feedback)>,
}

impl FeedbackSink {
    pub(crate) fn give(&self, feedback: Feedback) {
        // overflow: dropped; what is not answered is said again.
        let _ = self.feedback.try_send((self.who, feedback));
    }

    /// Says what is said once.
    pub(crate) async fn tell(&self, feedback: Feedback) {
        // Whoever does not listen any more does not have to know.
        let _ = self.feedback.send((self.who, feedback)).await;
    }
}

/// A track of ours that passes somebody else's packets on. Its clones are the same track.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingPackets {
    id: u64,
    clock_rate: u32,
    queue: mpsc::Sender<Leaving>,
    dropped: Arc<AtomicU64>,
    newest: Arc<Mutex<Option<Newest>>>,
}

/// The packet furthest on of those that were sent.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u16,
    timestamp: u32,
    at: Instant,
}

/// What leaves on a track.
#[derive(Debug)]
pub(crate) enum Leaving {
    Packet(Packet),
    Report { moment: u64, timestamp: u32 },
}

impl OutgoingPackets {
    /// One whose packets are taken here and not by a session.
    pub(crate) fn to_outside(codec: Codec) -> (Self, mpsc::Receiver<Leaving>) {
        let (queue, leaving) = mpsc::channel(QUEUE);
        (Self::new(0, codec, queue), leaving)
    }

    fn new(id: u64, codec: Codec, queue: mpsc::Sender<Leaving>) -> Self {
        Self {
            id,
            clock_rate: codec.clock_rate(),
            queue,
            dropped: Arc::default(),
            newest: Arc::default(),
        }
    }

    /// Names it for its session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The sequence number and the timestamp with which the next source begins: behind what was sent, and anywhere if
    /// nothing was (RFC 3550 section 5.1).
    pub(crate) fn begin(&self, now: Instant) -> (u16, u32) {
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = newest else {
            return (rand::random(), rand::random());
        };
        let since = now.saturating_duration_since(newest.at).as_micros();
        // Times wrap.
        let ticks = (since * u128::from(self.clock_rate) / 1_000_000) as u32;
        let timestamp = newest.timestamp.wrapping_add(ticks.max(1));
        (newest.sequence.wrapping_add(1), timestamp)
    }

    fn note(&self, packet: &Packet) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newer = |known: &Newest| packet.sequence.wrapping_sub(known.sequence) as i16 > 0;
        if newest.as_ref().is_none_or(is_newer) {
            *newest = Some(Newest {
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                at: Instant::now(),
            });
        }
    }

    /// Sends it now, or drops it: who takes nothing must not make others wait.
    pub(crate) fn send(&self, leaving: Leaving) {
        if let Leaving::Packet(packet) = &leaving {
            self.note(packet);
        }
        // overflow: dropped and counted, as a network would.
        if self.queue.try_send(leaving).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Packets that had to be dropped, because the connection took them too slowly.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// As [`outgoing::outgoing`](super::outgoing::outgoing), for packets.
pub(super) fn outgoing(
    id: u64,
    codec: Codec,
    ssrc: u32,
    track: Arc<TrackLocalStaticRTP>,
    feedback: FeedbackSink,
) -> (
    OutgoingPackets,
    watch::Sender<Leg>,
    impl Future<Output = ()>,
) {
    let (queue_tx, queue) = mpsc::channel(QUEUE);
    let (leg_tx, leg) = watch::channel(Leg::Waiting);
    let task = Task {
        track,
        ssrc,
        queue,
        leg,
        feedback,
        packets: 0,
        octets: 0,
    };
    let handle = OutgoingPackets::new(id, codec, queue_tx);
    (handle, leg_tx, task.run())
}

struct Task {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    queue: mpsc::Receiver<Leaving>,
    leg: watch::Receiver<Leg>,
    feedback: FeedbackSink,
    packets: u32,
    octets: u32,
}

impl Task {
    /// Until the driver lets go of it.
    async fn run(mut self) {
        let track = self.track.clone();
        loop {
            tokio::select! {
                leaving = self.queue.recv() => match leaving {
                    Some(leaving) => self.send(leaving).await,
                    // Nothing more is sent; the track stays until it is removed.
                    None => std::future::pending().await,
                },
                changed = self.leg.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let leg = *self.leg.borrow_and_update();
                    match leg {
                        Leg::Open(_) => self.feedback.tell(Feedback::Ready).await,
                        Leg::Refused => self.feedback.tell(Feedback::Refused).await,
                        Leg::Waiting => {}
                    }
                }
                event = track.poll() => match event {
                    Some(TrackLocalEvent::OnRtcpPacket(packets)) => self.heard(&packets),
                    Some(_) => {}
                    // It was taken off its connection.
                    None => return,
                },
            }
        }
    }

    fn heard(&self, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let packet = packet.as_any();
            if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
                self.feedback.give(Feedback::KeyWanted);
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                let missing = nack.nacks.iter().flat_map(|pair| pair.packet_list());
                self.feedback.give(Feedback::Nack(missing.collect()));
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                let ours = report.reports.iter().find(|block| block.ssrc == self.ssrc);
                if let Some(block) = ours {
                    let lost = f32::from(block.fraction_lost) / 256.0;
                    self.feedback.give(Feedback::Loss(lost));
                }
            }
        }
    }

    async fn send(&mut self, leaving: Leaving) {
        let Leg::Open(payload_type) = *self.leg.borrow() else {
            return;
        };
        // A connection that is going away takes nothing any more, and the driver ends this task.
        match leaving {
            Leaving::Packet(packet) => {
                self.packets = self.packets.wrapping_add(1);
                self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
                let packet = packet.into_rtp(payload_type, self.ssrc);
                let _ = self.track.write_rtp(packet).await;
            }
            Leaving::Report { moment, timestamp } => {
                let report = SenderReport {
                    ssrc: self.ssrc,
                    ntp_time: moment,
                    rtp_time: timestamp,
                    packet_count: self.packets,
                    octet_count: self.octets,
                    ..SenderReport::default()
                };
                let _ = self.track.write_rtcp(vec![Box::new(report)]).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_source_begins_behind_the_one_before() {
        let (track, _queue) = OutgoingPackets::to_outside(Codec::Vp8);
        let packet = |sequence, timestamp| {
            Leaving::Packet(Packet {
                sequence,
                timestamp,
                marker: false,
                payload: bytes::Bytes::new(),
            })
        };
        for (sequence, timestamp) in [(u16::MAX, u32::MAX), (1, 10), (0, 5)] {
            track.send(packet(sequence, timestamp));
        }
        let (sequence, timestamp) = track.begin(Instant::now());
        assert_eq!(sequence, 2);
        assert!((11..90_000).contains(&timestamp), "{timestamp}");
        // It is the same track, whoever has it.
        assert_eq!(track.clone().begin(Instant::now()).0, 2);
    }
}
